"""The connection in Airflow's web interface, as a person makes, tests and mends it there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

pytestmark = pytest.mark.timeout(600)  # the first test waits for Airflow to start

CONN_TYPE = "Huawei Cloud job status"
LOGIN = "Access key (AK) or user name"
PASSWORD = "Secret key (SK), password or token"


@pytest.fixture
def cloud() -> Iterator[FakeHuaweiCloud]:
    """Return a cloud for the api-server to ask."""
    with FakeHuaweiCloud() as cloud:
        yield cloud


def fill(page, login, password, **extra):
    """Fill in the form, section by section, as the connection's fields are labelled."""
    page.unfold("Standard Fields")
    page.fill(LOGIN, login)
    page.fill(PASSWORD, password)
    page.unfold("Extra Fields")
    for name, value in extra.items():
        (page.choose if name == "auth" else page.fill)(CONNECTION_FIELDS[name]["label"], value)


def endpoints(cloud):
    """Return the fields that lead to the fake cloud."""
    return {f"{service}_endpoint": cloud.url for service in ("dli", "cph", "iam")}


def test_the_form_shows_every_field_with_its_label_and_help(page):
    """A new connection of our type has our fields in our order, with the choice of how to log in."""
    page.add("never_saved", CONN_TYPE)

    standard = page.fields("Standard Fields")
    extra = page.fields("Extra Fields")

    assert [("Description", ""), (LOGIN, ""), (PASSWORD, "")] == standard
    assert [(field["label"], field["description"]) for field in CONNECTION_FIELDS.values()] == extra
    assert CONNECTION_FIELDS["auth"]["schema"]["enum"] == list(page.choices("Log in with"))


def test_what_is_typed_in_works_and_its_secrets_are_not_shown_again(page, cloud, airflow_ui):
    """A temporary access key is typed in, saved and tested; its secrets are in no page, reply or log afterwards."""
    key = cloud.temporary_key()
    secrets = (key.secret_key, key.security_token)
    page.add("hwstatus_default", CONN_TYPE)
    extra = {"region": cloud.region, "project_id": cloud.project_id, "security_token": key.security_token}
    fill(page, key.access_key, key.secret_key, **extra, **endpoints(cloud))
    page.picture("connection-form", 2100, "//*[@role='dialog']")
    page.save("hwstatus_default")

    said = page.test("hwstatus_default")
    page.picture("connection-test", 640)
    page.edit("hwstatus_default")
    saved = airflow_ui.request("connections/hwstatus_default")

    assert said.startswith("Test Connection Successful\n")
    assert cloud.requests
    assert ["***", "***"] == [page.box(label).get_property("value") for label in (PASSWORD, "Security token")]
    assert ("***", "***") == (saved["password"], json.loads(saved["extra"])["security_token"])
    log = airflow_ui.log_path.read_text()
    assert "/api/v2/connections/test" in log
    for place in (page.text(), json.dumps(saved), log, said):
        assert not [secret for secret in secrets if secret in place]


def test_a_wrong_secret_is_told_without_being_shown_and_can_be_mended(page, cloud, airflow_ui):
    """A wrong password is refused with the cloud's reason, and once it is replaced, the connection works at once."""
    page.add("wrong", CONN_TYPE)
    extra = {"auth": "password", "region": cloud.region, "domain_name": cloud.domain_name}
    fill(page, cloud.user, "not-the-password", **extra, **endpoints(cloud))
    page.save("wrong")

    refused = page.test("wrong")
    page.picture("connection-test-failed", 640)
    shown = page.text()
    page.open()
    page.edit("wrong")
    page.fill(PASSWORD, cloud.password)
    page.save("wrong")
    mended = page.test("wrong")

    assert refused.startswith("Test Connection Failed\n")
    assert "The username or password is wrong" in refused
    assert mended.startswith("Test Connection Successful\n")
    for place in (refused, shown, airflow_ui.log_path.read_text()):
        assert "not-the-password" not in place
        assert cloud.password not in place
