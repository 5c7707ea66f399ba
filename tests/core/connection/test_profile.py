"""The access key of the vendor SDK's environment variables and profile file, as the SDK documents them."""

import traceback

import pytest

from airflow_provider_hwstatus.core.connection.profile import DEFAULT_PROFILE, Profile, read_profile
from airflow_provider_hwstatus.errors import ConfigurationError

BOTH = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
REST = {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST", "HUAWEICLOUD_SDK_PROJECT_ID": "p1"}


@pytest.fixture
def home(tmp_path):
    """Return a function that writes a profile file, and returns an environment whose home has it."""

    def write(text):
        file = tmp_path / ".huaweicloud" / "credentials"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return {"HOME": str(tmp_path)}

    return write


def test_variables_come_first(home):
    """A key in the variables is used instead of the one in the file."""
    environ = home("[basic]\nak = other\nsk = other\n")

    assert Profile("AK", "SK") == read_profile(environ | BOTH, "basic")
    assert Profile("AK", "SK", "ST", "p1") == read_profile(environ | BOTH | REST, "basic")
    assert Profile("AK", "SK") == read_profile(BOTH | dict.fromkeys(REST, ""), "basic")


@pytest.mark.parametrize("missing", BOTH)
def test_half_a_key_in_the_variables_is_none(home, missing):
    """If one of the two variables is missing, the whole key of the file is used."""
    environ = home("[basic]\nak = A\nsk = S\n") | {name: value for name, value in BOTH.items() if name != missing}

    assert Profile("A", "S") == read_profile(environ | REST, "basic")


def test_file_has_sections(home):
    """The key is read from the named section, by default the SDK's own, and a per cent sign is read as it is."""
    environ = home(
        "[basic]\nak = A\nsk = 100%s\nsecurity_token = T\nproject_id = p2\n[team]\nak = B\nsk = Q\n[empty]\nak = C\n"
    )

    assert "basic" == DEFAULT_PROFILE
    assert Profile("A", "100%s", "T", "p2") == read_profile(environ, "basic")
    assert Profile("B", "Q", None, None) == read_profile(environ, "team")


def test_file_may_be_elsewhere(home, tmp_path):
    """A variable of the SDK names the path of the file."""
    home("[basic]\nak = A\nsk = S\n")
    environ = {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(tmp_path / ".huaweicloud" / "credentials"), "HOME": "/nowhere"}

    assert Profile("A", "S") == read_profile(environ, "basic")


@pytest.mark.parametrize(
    ("text", "section", "why"),
    [
        ("[basic]\nak = A\n", "basic", "there is no ak and sk"),
        ("[basic]\nsk = S\n", "basic", "there is no ak and sk"),
        ("[basic]\nak =\nsk = S\n", "basic", "there is no ak and sk"),
        ("[team]\nak = A\nsk = S\n", "basic", "there is no ak and sk"),
        ("sk SECRET\n", "basic", r"it cannot be read \(MissingSectionHeaderError\)"),
        ("[basic]\nak = A\nak = SECRET\n", "basic", r"it cannot be read \(DuplicateOptionError\)"),
        (b"[basic]\nak = \xffSECRET\nsk = S\n", "basic", r"it cannot be read \(UnicodeDecodeError\)"),
    ],
)
def test_missing_key_says_where_it_was_looked_for(home, text, section, why):
    """The message names variables, section and file, and has nothing of the content of the file."""
    environ = home(text)

    with pytest.raises(ConfigurationError) as caught:
        read_profile(environ, section)
    file = f"{environ['HOME']}/.huaweicloud/credentials"
    assert caught.match(rf"^auth=env: there is no access key .* in section \[{section}\] of {file}: {why}\n  next: ")
    assert caught.match("next: set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, or put ak and sk into that section$")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_no_file(tmp_path):
    """A missing file and a missing home raise the same error."""
    for environ, place in (({"HOME": str(tmp_path)}, tmp_path), ({"HOME": ""}, ""), ({}, "")):
        with pytest.raises(ConfigurationError, match=f"{place}/.huaweicloud/credentials: it cannot be read"):
            read_profile(environ, "basic")


def test_repr_shows_no_key():
    """The repr of a profile has no key."""
    assert not {"AK1", "SK1", "ST1"} & set(repr(Profile("AK1", "SK1", "ST1")).split("'"))
