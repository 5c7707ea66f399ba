"""The fields of a connection: an invalid one is named, and no secret is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.endpoints import endpoint_of
from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.service import CPH, DLI, IAM

SECRET = "S3cretS3cret"


def settings(**extra):
    return settings_from("AK", SECRET, extra)


def test_empty_fields_are_not_set():
    """Empty text and null, which a form sends, leave a field at its default."""
    empty = dict.fromkeys(
        (
            "region",
            "project_id",
            "domain_name",
            "security_token",
            "dli_endpoint",
            "verify",
            "request_timeout",
            "proxy",
            "auth",
        ),
        "",
    )

    assert Settings(login="AK", password=SECRET) == settings(**empty)
    assert Settings(login="AK", password=SECRET) == settings(**dict.fromkeys(empty))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("region", "evil.example.com/"),
        ("region", "CN-NORTH-4"),
        ("region", "x" * 65),
        ("region", 4),
        ("project_id", "p-1"),
        ("project_id", "p/../q"),
        ("project_id", "p" * 65),
        ("auth", ["aksk"]),
        ("domain_name", 7),
        ("security_token", "two\nlines"),
        ("security_token", " padded"),
        ("dli_endpoint", "dli.example.com"),
        ("dli_endpoint", "ftp://dli.example.com"),
        ("dli_endpoint", "https://user:pass@dli.example.com"),
        ("cph_endpoint", "https://"),
        ("cph_endpoint", "https://host:port"),
        ("iam_endpoint", "https://host/?q=1"),
        ("verify", 1.5),
        ("max_concurrent_requests", 0),
        ("max_concurrent_requests", "many"),
        ("max_concurrent_requests", 2.5),
        ("max_concurrent_requests", True),
        ("max_concurrent_requests", 10_000),
        ("request_timeout", 0),
        ("request_timeout", -1),
        ("request_timeout", "soon"),
        ("request_timeout", "nan"),
        ("request_timeout", "inf"),
        ("request_timeout", 601),
        ("request_timeout", True),
        ("proxy", "host:3128"),
        ("proxy", "socks5://host:3128"),
    ],
)
def test_invalid_field_is_named(field, value):
    """The error of an invalid field names it, and has no secret of the other fields."""
    with pytest.raises(ConfigurationError, match=field) as caught:
        settings(**{field: value})
    assert SECRET not in str(caught.value)


def test_secret_field_is_not_echoed():
    """The error of an invalid secret does not show the secret."""
    for login, password in (("AK", SECRET + "\n"), (SECRET + " ", "x"), ("AK", {"k": SECRET})):
        with pytest.raises(ConfigurationError) as caught:
            settings_from(login, password, {})
        assert SECRET not in str(caught.value)


def test_numbers_and_booleans_may_come_as_text():
    """A number or boolean can be text, as in a connection URI."""
    assert 7.5 == settings(request_timeout="7.5").request_timeout
    assert [20, 5, 100] == [settings(max_concurrent_requests=v).max_concurrent_requests for v in ("", 5, "100")]
    assert [False, False, True, "/ca.pem"] == [settings(verify=v).verify for v in ("False", False, "true", "/ca.pem")]


def test_arguments_win_over_the_connection():
    """The arguments of a sensor replace the connection's region and project."""
    found = settings_from("AK", "SK", {"region": "cn-north-4", "project_id": "p1"}, "eu-west-101", "p2")

    assert ("eu-west-101", "p2") == (found.region, found.project_id)


def test_repr_shows_no_secret():
    """The repr of settings has no secret."""
    shown = repr(settings_from("AKAKAK", SECRET, {"security_token": "tok3n", "proxy": "http://u:pw@host:1"}))

    assert not [secret for secret in ("AKAKAK", SECRET, "tok3n", "pw@") if secret in shown]


@pytest.mark.parametrize(
    ("service", "region", "expected"),
    [
        (DLI, "cn-north-4", "https://dli.cn-north-4.myhuaweicloud.com"),
        (CPH, "ap-southeast-1", "https://cph.ap-southeast-1.myhuaweicloud.com"),
        (IAM, "la-south-2", "https://iam.la-south-2.myhuaweicloud.com"),
        (DLI, "eu-west-101", "https://dli.eu-west-101.myhuaweicloud.eu"),
        (DLI, "eu-west-0", "https://dli.eu-west-0.myhuaweicloud.com"),
        (DLI, "eu-de", "https://dli.eu-de.otc.t-systems.com"),
        (IAM, "eu-nl", "https://iam.eu-nl.otc.t-systems.com"),
        (DLI, "xx-new-9", "https://dli.xx-new-9.myhuaweicloud.com"),
    ],
)
def test_endpoint_of_a_region(service, region, expected):
    """Each cloud has its own domain."""
    assert expected == endpoint_of(service, region)


@pytest.mark.parametrize("region", ["eu-de", "eu-west-101"])
def test_missing_service_of_a_region_is_named(region):
    """A region without CPH raises an error, unless cph_endpoint is set."""
    with pytest.raises(ConfigurationError, match=f"region {region} has no CPH\n  next: .* set cph_endpoint"):
        settings(region=region).endpoint(CPH)
    assert "https://x.example.com" == settings(region=region, cph_endpoint="https://x.example.com").endpoint(CPH)


def test_given_endpoint_replaces_the_regions():
    """An endpoint needs no region, and keeps its path."""
    assert "https://gw.example.com/dli" == settings(dli_endpoint="https://gw.example.com/dli/").endpoint(DLI)
    with pytest.raises(ConfigurationError, match=r"region is not set\n  next: set region or cph_endpoint"):
        settings(dli_endpoint="https://gw.example.com").endpoint(CPH)


@pytest.mark.parametrize("job_id", ["0a324461-d9d9-45da-a52a-3b3c7a3d809e", "a", "x" * 128, "batch_1.2"])
def test_valid_id_is_returned(job_id):
    """Every form of id that the APIs have is valid."""
    assert job_id == check_job_id("batch_id", job_id)


@pytest.mark.parametrize("job_id", [".", "..", "x" * 129, "a/b", "a b", "a\n", " a", "ä", "{{ x }}"])
def test_invalid_id_is_named(job_id):
    """The error of an invalid id, such as a path or a template that was not rendered, names the argument."""
    with pytest.raises(ConfigurationError, match="batch_id must be 1 to 128"):
        check_job_id("batch_id", job_id)


def test_invalid_id_is_shown_in_part():
    """The first 64 characters tell what it is."""
    with pytest.raises(ConfigurationError, match=f"it is '{'x' * 64}'$"):
        check_job_id("batch_id", "x" * 129)


@pytest.mark.parametrize("job_id", [["a"], {"id": "a"}, b"a", 1.5, True, -1, 10**128, object()])
def test_id_of_another_type_is_named(job_id):
    """The error of a value of another type names the type, and does not show the value."""
    with pytest.raises(ConfigurationError, match=f"batch_id must be an id .* a {type(job_id).__name__}"):
        check_job_id("batch_id", job_id)


def test_integer_is_its_digits():
    """An integer is valid, because Airflow's native rendering makes integers of ids that have only digits."""
    assert ["0", "17"] == [check_job_id("job_id", number) for number in (0, 17)]


@pytest.mark.parametrize("job_id", [None, "", " ", "None", "null", " None\n", [None], [["a"], ("None",)]])
def test_missing_id_is_named(job_id):
    """An XCom that does not exist raises an error that says that the id is missing."""
    with pytest.raises(ConfigurationError, match=r"^batch_id is missing: "):
        check_job_id("batch_id", job_id)


@given(
    st.dictionaries(
        st.sampled_from(list(Settings.__dataclass_fields__)),
        st.none() | st.text() | st.integers() | st.floats() | st.lists(st.text()),
    )
)
def test_any_extra_is_settings_or_a_named_error(extra):
    """Any extra is settings or a ConfigurationError that names a field."""
    try:
        settings(**extra)
    except ConfigurationError as error:
        assert any(name in str(error) for name in extra)  # noqa: PT017  # the message is what is tested
