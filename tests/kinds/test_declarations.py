"""A wrong declaration of a kind is an error that names the kind and the field, and a declaration survives JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.kinds import KINDS, JobKind, Outcome, Service, kind_of
from airflow_provider_hwstatus.kinds.template import fill, placeholders

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)

#: A complete declaration.
ACME: dict[str, Any] = {
    "name": "acme_job",
    "title": "Acme job",
    "service": "acme-jobs",
    "path": "/v1/{project_id}/pools/{pool}/jobs/{job_id}?detail={level}",
    "parameters": ["pool", "level"],
    "optional_parameters": ["workspace"],
    "headers": {"workspace": "{workspace}"},
    "state": "job.status.phase",
    "id": "job.id",
    "guard": ["ok", False],
    "in_progress": ["Queued", "Running"],
    "success": ["Done"],
    "failure": ["Broken"],
    "extra_fields": {"node": "job.node"},
}


def declared(**changes: Any) -> JobKind:
    """Return the declaration with other fields."""
    return JobKind(**(ACME | changes))


#: Fields with a wrong value, by the text that the message must have.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Acme"}, "name must be"),
    ({"name": ""}, "name must be"),
    ({"name": "a" * 65}, "name must be"),
    ({"name": "a\n"}, "name must be"),
    ({"name": None}, "name must be"),
    ({"name": 7}, "name must be"),
    ({"title": ""}, "title must be"),
    ({"title": "a\nb"}, "title must be"),
    ({"title": "a" * 301}, "title must be"),
    ({"id_name": None}, "id_name must be"),
    ({"id_characters": "\n"}, "id_characters must be"),
    ({"id_characters": None}, "id_characters must be"),
    ({"source": "a" * 1001}, "source must be"),
    ({"permission": ""}, "permission must be"),
    ({"advice": "open {page}"}, "advice: unknown placeholder {page}"),
    ({"advice": "open {console"}, "advice: a brace has no pair"),
    # the service
    ({"service": "acme.jobs"}, "service must be the first label"),
    ({"service": "acme/jobs"}, "service must be the first label"),
    ({"service": "acme:8080"}, "service must be the first label"),
    ({"service": "user@acme"}, "service must be the first label"),
    ({"service": "Acme"}, "service must be the first label"),
    ({"service": "-acme"}, "service must be the first label"),
    ({"service": "acme-"}, "service must be the first label"),
    ({"service": "acme\n"}, "service must be the first label"),
    ({"service": ""}, "service must be the first label"),
    ({"service": None}, "service must be the first label"),
    ({"service": ["acme"]}, "service must be the first label"),
    ({"service": {}}, "service: "),
    ({"service": {"label": "acme", "hosts": ["evil.example.com"]}}, "hosts must be such as"),
    ({"service": {"label": "acme", "hosts": "evil.example.com"}}, "hosts must be a list"),
    ({"service": {"label": "acme", "hosts": [1]}}, "hosts must be a list"),
    ({"service": {"label": "acme", "console": "//evil.example.com/"}}, "console must be a path"),
    # the paths of requests
    ({"path": None}, "path must be a path"),
    ({"path": 1}, "path must be a path"),
    ({"path": ""}, "path must be a path"),
    ({"path": "v1/{job_id}"}, "path must be a path"),
    ({"path": "//evil.example.com/{job_id}"}, "path must be a path"),
    ({"path": "https://evil.example.com/{job_id}"}, "path must be a path"),
    ({"path": "/v1@evil.example.com/{job_id}"}, "path must be a path"),
    ({"path": "/\\evil.example.com/{job_id}"}, "path must be a path"),
    ({"path": "/v1/{job_id}#x"}, "path must be a path"),
    ({"path": "/v1/{job_id}\r\nHost: evil"}, "path must be a path"),
    ({"path": "/v1/{job_id} "}, "path must be a path"),
    ({"path": "/v1/{job_id}/ü"}, "path must be a path"),
    ({"path": "/" + "a" * 1024}, "path must be a path"),
    ({"path": "/v1/../{job_id}"}, "path must have no . or .."),
    ({"path": "/v1/./{job_id}"}, "path must have no . or .."),
    ({"path": "/v1/%2e%2E/{job_id}"}, "path must have no . or .."),
    ({"path": "/v1/.%2e/{job_id}"}, "path must have no . or .."),
    ({"path": "/v1/{cluster}/{job_id}"}, "path: unknown placeholder {cluster}"),
    ({"path": "/v1/{workspace}/{job_id}"}, "path: unknown placeholder {workspace}"),
    ({"path": "/v1/{project_id.__class__}/{job_id}"}, "path: unknown placeholder {project_id.__class__}"),
    ({"path": "/v1/{job_id!r}/{job_id}"}, "path: unknown placeholder {job_id!r}"),
    ({"path": "/v1/{}/{job_id}"}, "path: unknown placeholder {}"),
    ({"path": "/v1/{{job_id}}"}, "path: a brace has no pair"),
    ({"path": "/v1/{job_id"}, "path: a brace has no pair"),
    ({"path": "/v1/{pool}/job_id}/{job_id}"}, "path: a brace has no pair"),
    ({"path": "/v1/{pool}/{level}"}, "path must have {job_id}"),
    ({"detail_path": "//evil.example.com"}, "detail_path must be a path"),
    ({"detail_path": ""}, "detail_path must be a path"),
    ({"log_path": "/v1/{secret}"}, "log_path: unknown placeholder {secret}"),
    ({"log_path": 5}, "log_path must be a path"),
    ({"console": "https://evil.example.com"}, "console must be a path"),
    ({"console": "/{project_id}"}, "console: unknown placeholder {project_id}"),
    # the parameters
    ({"parameters": "pool"}, "parameters must be a list of names"),
    ({"parameters": ["pool", "level", "Pool"]}, "parameters must be a list of names"),
    ({"parameters": ["pool", "level", ""]}, "parameters must be a list of names"),
    ({"parameters": ["pool", "level", 1]}, "parameters must be a list of names"),
    ({"parameters": 5}, "parameters must be a list of names"),
    ({"parameters": ["pool", "level", "job_id"]}, "parameters: job_id has its own argument"),
    ({"optional_parameters": ["workspace", "project_id"]}, "parameters: project_id has its own argument"),
    ({"parameters": ["pool", "level", "unused"]}, "parameters: unused is used in no path and no header"),
    ({"optional_parameters": ["workspace", "unused"]}, "parameters: unused is used in no path and no header"),
    ({"parameters": ["pool", "level", "pool"]}, "parameters: pool is listed twice"),
    ({"optional_parameters": ["workspace", "pool"]}, "parameters: pool is listed twice"),
    ({"headers": {}}, "parameters: workspace is used in no path and no header"),
    # the headers
    ({"headers": "workspace"}, "headers must be a mapping"),
    ({"headers": ["workspace"]}, "headers must be a mapping"),
    ({"headers": {1: "x"}}, "headers must be a mapping"),
    ({"headers": {"workspace": 1}}, "headers['workspace'] must be"),
    ({"headers": {"workspace": ""}}, "headers['workspace'] must be"),
    ({"headers": {"workspace": "{workspace}\r\nX-Evil: 1"}}, "headers['workspace'] must be"),
    ({"headers": {"workspace": "{job_id}{workspace}"}}, "headers['workspace']: unknown placeholder {job_id}"),
    ({"headers": {"workspace": "{workspace}", "x-note": "ü"}}, "headers['x-note'] must have ASCII"),
    ({"headers": {"workspace": "{workspace}", "Workspace": "x"}}, "headers: 'workspace' is listed twice"),
    ({"headers": {"work space": "{workspace}"}}, "headers: 'work space' cannot be set"),
    ({"headers": {"": "{workspace}"}}, "headers: '' cannot be set"),
    # the fields of the reply
    ({"state": None}, "state must be a path"),
    ({"state": []}, "state must be a path"),
    ({"state": ""}, "state: "),
    ({"state": 5}, "state must be a path"),
    ({"state": {"a": "b"}}, "state must be a path"),
    ({"state": ["job.status", 5]}, "state: 5 is no path"),
    ({"state": "job..status"}, "state: "),
    ({"id": "job[x].id"}, "id: "),
    ({"begin": "[0].begin"}, "begin: "),
    ({"end": "job.end."}, "end: "),
    ({"duration": "job[?id==other].d"}, "duration: "),
    ({"job_name": "a" * 257}, "job_name: "),
    ({"queue": "a b"}, "queue: "),
    ({"error_code": ["a", "b["]}, "error_code: "),
    ({"error_message": "__class__()"}, "error_message: "),
    ({"log": "log[-1]"}, "log: "),
    ({"extra_fields": ["node"]}, "extra_fields must be a mapping"),
    ({"extra_fields": {"node": "a b"}}, "extra_fields['node']: "),
    ({"extra_fields": {"state": "job.state"}}, "extra_fields: 'state' is no name"),
    ({"extra_fields": {"": "job.state"}}, "extra_fields: '' is no name"),
    ({"guard": "ok"}, "guard must be a path and a value"),
    ({"guard": ["ok"]}, "guard must be a path and a value"),
    ({"guard": ["o k", False]}, "guard: "),
    ({"guard": [None, False]}, "guard must begin with one path"),
    ({"guard": [["ok", "fine"], False]}, "guard must begin with one path"),
    ({"guard": ["ok", None]}, "guard: its value must be"),
    ({"guard": ["ok", 1.5]}, "guard: its value must be"),
    # the states
    ({"success": []}, "success must list a state"),
    ({"success": "Done"}, "success must be a list of states"),
    ({"success": None}, "success must be a list of states"),
    ({"success": {"Done": 1}}, "success must be a list of states"),
    ({"success": [""]}, "a state is text or a number"),
    ({"success": [None]}, "a state is text or a number"),
    ({"failure": [True]}, "a state is text or a number"),
    ({"failure": [1.5]}, "a state is text or a number"),
    ({"success": ["Done", "DONE"]}, "success lists 'done' twice"),
    ({"failure": [3, "3"]}, "failure lists '3' twice"),
    ({"success": ["Done", "broken"]}, "broken cannot be both success and failure"),
    ({"in_progress": ["DONE"]}, "done cannot be both success and in_progress"),
    ({"in_progress": ["BROKEN"]}, "broken cannot be both failure and in_progress"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[f"{message}-{wrong}"[:80] for wrong, message in WRONG])
def test_wrong_field(wrong: dict[str, Any], message: str) -> None:
    """A wrong value is a ValueError that begins with the kind and names the field; also from JSON."""
    name = wrong.get("name", "acme_job")
    for make in (lambda row: JobKind(**row), JobKind.from_dict, kind_of):
        with pytest.raises(ValueError, match=r"^kind ") as raised:
            make(ACME | wrong)
        assert message in str(raised.value)
        assert repr(name[:64] if isinstance(name, str) else name) in str(raised.value)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "Host",
        "Cookie",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
        "Expect",
        "Forwarded",
        "Content-Type",
        "Content-Length",
        "Accept-Encoding",
        "Proxy-Authorization",
        "X-Sdk-Date",
        "X-Auth-Token",
        "X-Subject-Token",
        "X-Security-Token",
        "X-Project-Id",
        "X-Domain-Id",
        "X-Forwarded-Host",
    ],
)
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_reserved_header(header: str, change: Any) -> None:
    """A declaration cannot set a header that carries credentials or decides about the connection."""
    with pytest.raises(ValueError, match=f"^kind 'acme_job': headers: '{change(header)}' cannot be set$"):
        declared(headers={"workspace": "{workspace}", change(header): "x"})


@pytest.mark.parametrize("field", ["name", "title", "service", "path", "state", "success", "failure"])
def test_field_is_missing(field: str) -> None:
    """A declaration from JSON without a necessary field is a ValueError that names the field."""
    with pytest.raises(ValueError, match=f"^kind: .*{field}"):
        JobKind.from_dict({name: value for name, value in ACME.items() if name != field})


@pytest.mark.parametrize("row", [None, 1, "dli_bath", [], ["dli_batch"], True, b"dli_batch"])
def test_no_kind(row: Any) -> None:
    """What is no kind is a ValueError that lists the kinds of this package."""
    with pytest.raises(ValueError, match=r"kind must be a JobKind or one of .*dli_batch, .*modelarts_training_job"):
        kind_of(row)


@pytest.mark.parametrize("field", sorted(ACME))
def test_huge_value(field: str) -> None:
    """A huge value is refused with a short message, or is harmless, and takes little time."""
    for huge in ("x" * 10**6, ["x" * 10**6], [f"x{n}" for n in range(2 * 10**4)], {"x" * 10**6: "x"}, "{" * 10**6):
        try:
            declared(**{field: huge})
        except ValueError as error:
            assert len(str(error)) <= 1000  # noqa: PT017  # whether it is refused depends on the field


def test_unknown_field_is_ignored() -> None:
    """A field of a later release does not matter."""
    assert declared() == JobKind.from_dict(ACME | {"from_the_future": 1})


class TestJson:
    """A declaration as JSON, in a trigger's row."""

    @every_kind
    def test_every_kind_survives(self, kind: JobKind) -> None:
        """Every kind of this package is the same after JSON."""
        restored = JobKind.from_dict(json.loads(json.dumps(kind.to_dict())))

        assert kind == restored
        assert hash(kind) == hash(restored)
        assert kind.to_dict() == restored.to_dict()

    @given(data=st.data())
    def test_any_kind_survives(self, data: Any) -> None:
        """A kind that hypothesis declared is the same after JSON, in whichever order its sets are."""
        kind = data.draw(kinds)
        restored = JobKind.from_dict(json.loads(json.dumps(kind.to_dict())))

        assert kind == restored
        assert kind.outcomes == restored.outcomes
        assert kind.paths == restored.paths

    def test_own_service_survives(self) -> None:
        """A service of the declaration's own is part of the row; a known one is only its label."""
        service = Service(label="acme", hosts=("acme.cn-north-4.myhuaweicloud.cn",), console="/acme/?region={region}")

        assert service == JobKind.from_dict(json.loads(json.dumps(declared(service=service).to_dict()))).cloud_service
        assert "acme-jobs" == declared().to_dict()["service"]

    @given(data=st.data())
    def test_any_row_is_a_kind_or_a_value_error(self, data: Any) -> None:
        """Whatever a row has in its fields, the only exception is ValueError."""
        fields = data.draw(st.dictionaries(st.sampled_from(sorted(JobKind.__dataclass_fields__)), json_values))
        try:
            kind = JobKind.from_dict(ACME | fields)
        except ValueError:
            return
        assert kind == JobKind.from_dict(json.loads(json.dumps(kind.to_dict())))
        kind.states_in({"job": {"status": 1}}, "j1")
        kind.is_refused({"ok": False})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_paths = st.from_regex(r"[a-z][a-z-]{0,5}(\.[a-z]{1,5}|\[[0-9]\]|\[\?[a-z]{1,4}==job_id\]){0,3}", fullmatch=True)
_words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


@st.composite
def _kinds(draw: Any) -> JobKind:
    states = draw(st.lists(_words, min_size=1, max_size=9, unique_by=str.lower))
    cuts = sorted(draw(st.lists(st.integers(1, len(states)), min_size=2, max_size=2)))
    return JobKind(
        name=draw(_names),
        title=draw(_words),
        service=draw(st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5})?", fullmatch=True)),
        path=draw(st.sampled_from(["/v1/{project_id}/jobs/{job_id}", "/jobs?id={job_id}"])),
        state=draw(_paths | st.lists(_paths, min_size=1, max_size=3)),
        success=states[: cuts[0]],
        failure=states[cuts[0] : cuts[1]],
        in_progress=states[cuts[1] :],
        end=draw(st.none() | _paths),
        guard=draw(st.none() | st.tuples(_paths, st.booleans() | _words | st.integers())),
        headers=draw(st.dictionaries(st.from_regex(r"x-own-[a-z]{1,3}", fullmatch=True), st.just("v"), max_size=2)),
        extra_fields=draw(st.dictionaries(_names.map("own_{}".format), _paths, max_size=2)),
        id_characters=draw(st.sampled_from(["", ":", ":/"])),
    )


kinds = _kinds()


class TestParameters:
    """Values for the parameters of a kind."""

    def test_missing_superfluous_and_none(self) -> None:
        """A parameter that is missing or superfluous is an error that names it and lists what the kind takes."""
        with pytest.raises(ValueError, match=r"^parameters: level is missing; acme_job needs pool, level$"):
            declared().with_parameters({"pool": "p"})
        with pytest.raises(ValueError, match=r"^parameters: acme_job has no 'polo'; it takes: pool, level, workspace$"):
            declared().with_parameters({"pool": "p", "level": 1, "polo": "x"})
        with pytest.raises(ValueError, match=r"^parameters: dli_batch has no 'pool'; it takes: none$"):
            KINDS["dli_batch"].check_parameters(["pool"])

    @pytest.mark.parametrize("value", [None, "", " ", "None", "null"])
    def test_value_is_missing(self, value: Any) -> None:
        """A value that a template made of nothing is an error; an optional one leaves its header out."""
        with pytest.raises(ValueError, match=r"^parameters: pool is missing"):
            declared().with_parameters({"pool": value, "level": 1})

        assert {} == declared().with_parameters({"pool": "p", "level": 1, "workspace": value}).headers

    @pytest.mark.parametrize(
        "value", [True, 1.5, ["p"], {"a": 1}, b"p", "a\nb", "a\x00", "x" * 257, ".", "..", "{job_id}", "a{b", "a}"]
    )
    def test_value_is_refused(self, value: Any) -> None:
        """A value that is no text, has braces, or could leave its segment is an error that names the parameter."""
        for name in ("pool", "level", "workspace"):
            with pytest.raises(ValueError, match=f"^parameters: {name} must be a text"):
                declared().with_parameters({"pool": "p", "level": 1} | {name: value})

    @given(value=st.text(min_size=1, max_size=30))
    def test_value_stays_in_its_place(self, value: str) -> None:
        """A value becomes one percent-encoded segment of the path and one value of the query."""
        try:
            kind = declared().with_parameters({"pool": value, "level": value})
        except ValueError:
            return
        path, _, query = kind.path.partition("?")
        assert ["", "v1", "{project_id}", "pools", value, "jobs", "{job_id}"] == [*map(unquote, path.split("/"))]
        assert kind.path.isascii()
        assert f"detail={value}" == unquote(query)
        assert not {"&", "#", "?", " "} & set(query)

    @pytest.mark.parametrize("value", ["a/b", "a%2Fb", "../x", "a?b&c=d#e", "ü", "a b", "@evil", "\\", "a;b"])
    def test_odd_value_is_encoded(self, value: str) -> None:
        """Characters with a meaning in a URL have none in a value."""
        kind = declared().with_parameters({"pool": value, "level": 7})

        (segment,) = (
            kind.path.removeprefix("/v1/{project_id}/pools/").removesuffix("/jobs/{job_id}?detail=7").split("/")
        )
        assert value == unquote(segment)

    def test_long_values(self) -> None:
        """Values that make the path too long are an error that says so."""
        with pytest.raises(ValueError, match=r"^parameters: their values make the path longer than 1024"):
            declared().with_parameters({"pool": "ü" * 256, "level": 1})

    def test_header_of_another_script(self) -> None:
        """A header takes ASCII characters only."""
        with pytest.raises(ValueError, match="ASCII"):
            declared().with_parameters({"pool": "p", "level": 1, "workspace": "ü"})

    def test_values_are_filled_in_once(self) -> None:
        """A name in braces is replaced by its value as it stands, and nothing is evaluated."""
        assert "<{b}>/<{a}>" == fill("{a}/{b}", {"a": "<{b}>", "b": "<{a}>"}.__getitem__)
        assert {"a.__class__", "b!r", "c:>9", ""} == placeholders("{a.__class__}{b!r}{c:>9}{}")


class TestGoals:
    """Kinds with the same request and another goal."""

    def test_other_states_are_in_progress(self) -> None:
        """A listed state that does not end the wait is in progress, and the name has the goal."""
        kind = declared().for_goal("running", success={"Running"})

        assert "acme_job_running" == kind.name
        expected = {"queued": "in_progress", "running": "success", "done": "in_progress", "broken": "failure"}
        assert expected == {state: kind.outcome_of(state).value for state in kind.states}

    def test_changes_are_checked(self) -> None:
        """A wrong change is an error that names the new kind."""
        with pytest.raises(ValueError, match=r"^kind 'acme_job_running': "):
            declared().for_goal("running", success={"Broken"})
        with pytest.raises(ValueError, match=r"^kind 'acme_job_running': success must be a list"):
            declared().for_goal("running", success="Running")
        with pytest.raises(ValueError, match=r"^kind 'acme_job_Run': name must be"):
            declared().for_goal("Run")


@every_kind
def test_path_is_used_as_it_is(kind: JobKind) -> None:
    """Every kind of this package has a path in which all its parameters can be given."""
    filled = kind.with_parameters({name: f"value-of-{name}" for name in (*kind.parameters, *kind.optional_parameters)})

    assert {"project_id", "job_id"} >= placeholders(filled.path)
    assert kind.source
    assert Outcome.UNKNOWN is kind.outcome_of("NO_SUCH_STATE")


@pytest.mark.parametrize(
    ("guard", "value", "refused"),
    [
        (("ok", False), False, True),
        (("ok", False), "False", True),
        (("ok", "false"), "false", True),
        (("ok", False), True, False),
        (("ok", False), None, False),
        (("ok", False), 0, False),
        (("ok", False), [False], False),
        (("code", 1), "1", True),
        (("code", 1), True, False),
        (None, False, False),
    ],
)
def test_guard(guard: Any, value: object, refused: bool) -> None:
    """A guard compares text without regard to letter case, and a missing field is no refusal."""
    assert refused is declared(guard=guard).is_refused({"ok": value, "code": value})


def test_declared_kind_can_be_changed() -> None:
    """A kind is a dataclass, so that a user can make one from another."""
    assert "b" == replace(KINDS["mrs_job"], name="b").name
