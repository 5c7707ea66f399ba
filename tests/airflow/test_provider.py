"""What Airflow is told about the package, and what it makes of it."""

import json
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points, metadata, version

import jsonschema
import pytest

from airflow_provider_hwstatus.core.connection.login import LOGINS
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


#: Airflow's commands about providers, and what each must say.
COMMANDS = {
    ("providers", "list"): "airflow-provider-hwstatus",
    ("providers", "hooks"): "airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook",
    ("providers", "get", "airflow-provider-hwstatus", "--full"): "conn-fields",
    ("providers", "triggers"): "airflow_provider_hwstatus.triggers.job_status",
    ("providers", "links"): "airflow_provider_hwstatus.sensors.console_link.ConsoleLink",
}

#: Runs commands, one after the other: to start Airflow takes longer than they do.
RUN = """
import json, sys
from airflow.__main__ import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["airflow", *command, "--output", "json"]
    main()
    print("\\nNEXT", flush=True)
"""


def test_info_fits_airflows_schema():
    """Airflow checks this at each start, and refuses every command if it does not fit."""
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow reads the form from here since 3.2")
def test_form_fits_airflows_schema():
    """The form is held to what official providers are held to."""
    schema = json.loads(resources.files("airflow").joinpath("provider.yaml.schema.json").read_text())

    for connection_type in get_provider_info()["connection-types"]:
        jsonschema.validate(connection_type, schema["properties"]["connection-types"]["items"])


def test_entry_points_are_registered():
    """Installing the package is enough."""
    (info,) = [point for point in entry_points(group="apache_airflow_provider") if "hwstatus" in point.value]

    assert metadata("airflow-provider-hwstatus")["Name"] == info.load()()["package-name"]
    assert [point for point in entry_points(group="pytest11") if point.name == "huaweicloud"]


def test_form_has_every_field_of_the_connection():
    """No field can be set only by those who read the code, and none does nothing."""
    assert set(CONNECTION_FIELDS) == set(Settings.__dataclass_fields__) - {"login", "password"}
    assert list(LOGINS) == CONNECTION_FIELDS["auth"]["schema"]["enum"]


@pytest.mark.skipif(AIRFLOW >= (3, 0), reason="Airflow 3 does not install WTForms")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow 2's own Flask
def test_both_forms_agree():
    """Airflow 2.11 draws the same form from the hook as 3.2 does from the declaration."""
    from wtforms import Form

    widgets = HwStatusHook.get_connection_form_widgets()
    form = type("ConnectionForm", (Form,), widgets)()

    assert set(CONNECTION_FIELDS) == set(widgets)
    for name, declared in CONNECTION_FIELDS.items():
        assert declared["label"] == str(form[name].label.text)
        assert declared["description"] == form[name].description
        assert ("password" == declared["schema"].get("format")) == (form[name].type == "PasswordField")


def test_secret_extras_have_names_that_airflow_masks():
    """The REST API masks extras by their names alone; Airflow 3.0 alone does not know ``proxy``, as the docs say."""
    from airflow.providers.common.compat.sdk import redact

    shown = redact(dict.fromkeys(CONNECTION_FIELDS, "plain-text-value"))
    secret = {name for name, declared in CONNECTION_FIELDS.items() if declared["schema"].get("format") == "password"}

    unmasked = {"proxy"} if AIRFLOW == (3, 0) else set()

    assert secret - unmasked == {name for name, value in shown.items() if value == "***"}


@pytest.mark.long
@pytest.mark.usefixtures("airflow_db")
def test_airflow_shows_the_provider():
    """Airflow's own commands list it, without a warning about it."""
    command = [sys.executable, "-c", RUN, json.dumps(list(COMMANDS))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    *said, _ = done.stdout.split("\nNEXT\n")
    assert len(COMMANDS) == len(said)
    for (command, expected), one in zip(COMMANDS.items(), said, strict=True):
        assert expected in one, command
    assert "hwstatus" not in done.stderr
