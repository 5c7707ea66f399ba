"""Batches are found by name, whatever the list of a cloud looks like, and stay the same from then on."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_hwstatus.core.polling.batches_by_name import BatchesByName, BatchSearch, time_from
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary
from airflow_provider_hwstatus.core.polling.named_target import FoundBatches, NamedTarget, target_from_dict
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget, event_of
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    JobNotFoundError,
    MalformedResponseError,
    ServerError,
    TriggerError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

AFTER = datetime(2026, 11, 21, 2, tzinfo=UTC).timestamp()
RULE = CompletionRule()


def row(job_id: str, name: Any, seconds: float = 10.0, **more: Any) -> dict[str, Any]:
    """Return a row of the list, for a batch that was submitted *seconds* after AFTER."""
    return {"id": job_id, "name": name, "state": "running", "create_time": int((AFTER + seconds) * 1000)} | more


class Dli:
    """
    A DLI that lists batches.

    :param lists: The rows of each list; the last one stays. An HTTP status is an answer instead of a list.
    :ivar queries: The parameters of each call.
    :ivar states: The states of batches, by id; "running" by default.
    :param page: Rows of a page at most.
    """

    def __init__(self, stub_cloud: Any, *lists: Any, page: int = 100) -> None:
        self.lists = list(lists)
        self.page = page
        self.queries: list[dict[str, str]] = []
        self.states: dict[str, str] = {}
        self.cloud = stub_cloud({"/batches?": self._list, "/state": self._state})
        self.client = self.cloud.client()
        self.options = WaitOptions(began=self.cloud.now, outage_tolerance=0.0)

    def _list(self, request: Request) -> Any:
        self.queries.append({name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()})
        rows, first = self.lists[0], int(self.queries[-1]["from"])
        if isinstance(rows, int):
            return rows
        return {"sessions": rows[first : first + self.page], "total": len(rows)}

    def _state(self, request: Request) -> Any:
        job_id = re.findall(r"batches/([^/]+)/state", request.url)[0]
        return {"id": job_id, "state": self.states.get(job_id, "running")}

    def poller(self, name: str = "nightly-*", on_many: str = "error", rule: CompletionRule = RULE) -> BatchesByName:
        return BatchesByName(self.client, DLI_BATCH, BatchSearch(name, AFTER, on_many), rule)

    def poll(self, poller: BatchesByName) -> Any:
        """Poll once; the next poll finds the next list."""
        try:
            return self.cloud.run(poller.poll(self.options))
        finally:
            if len(self.lists) > 1:
                del self.lists[0]


@pytest.fixture
def dli(stub_cloud: Any) -> Any:
    """Return a function that makes a DLI."""
    return lambda *lists, **how: Dli(stub_cloud, *lists, **how)


def test_batch_that_matches_is_polled(dli: Any) -> None:
    """The status is the batch's own, with the name that the list shows."""
    cloud = dli([row("b1", "nightly-1"), row("b2", "hourly-1")])
    cloud.states["b1"] = "success"

    found = cloud.poll(cloud.poller())

    assert ("b1", "success", "nightly-1") == (found.job_id, found.state, found.name)


@pytest.mark.parametrize("name", ["nightly", "Nightly-1", "my-nightly-1", "nightly-", None, 7, ["nightly-1"]])
def test_other_name_is_no_match(dli: Any, name: Any) -> None:
    """Substrings and other letter case do not match, even if the cloud lists them."""
    cloud = dli([row("b1", name)])

    with pytest.raises(JobNotFoundError, match=r"DLI batch 'nightly-[?]': no batch with such a name"):
        cloud.poll(cloud.poller("nightly-?"))


def test_plain_name_is_sent_to_the_cloud_and_compared(dli: Any) -> None:
    """A cloud that filters saves pages; one that matches substrings does not mislead the wait."""
    cloud = dli([row("b1", "nightly-1-again"), row("b2", "nightly-1"), row("b3", "my-nightly-1")])

    assert "b2" == cloud.poll(cloud.poller("nightly-1")).job_id
    assert "nightly-1" == cloud.queries[0]["job_name"]


def test_pattern_is_not_sent_to_the_cloud(dli: Any) -> None:
    """The cloud's filter knows no patterns."""
    cloud = dli([row("b1", "nightly-1")])
    cloud.poll(cloud.poller("nightly-*"))

    assert "job_name" not in cloud.queries[0]
    assert "CREATE_TIME_DESC" == cloud.queries[0]["order"]
    assert AFTER * 1000 >= int(cloud.queries[0]["start"]) > (AFTER - 3600) * 1000


@pytest.mark.parametrize(("seconds", "expected"), [(-0.001, None), (0.0, "b1"), (0.001, "b1")])
def test_older_batch_is_no_match(dli: Any, seconds: float, expected: str | None) -> None:
    """A batch counts if it was submitted at the given time or later, to the millisecond."""
    cloud = dli([row("b1", "nightly-1") | {"create_time": round((AFTER + seconds) * 1000)}])

    if expected:
        assert expected == cloud.poll(cloud.poller()).job_id
    else:
        with pytest.raises(JobNotFoundError, match="submitted at or after 2026-11-21T02:00:00Z"):
            cloud.poll(cloud.poller())


def test_message_about_no_match_says_what_to_do(dli: Any) -> None:
    """It has the name, the time and the arguments that may help."""
    cloud = dli([])

    with pytest.raises(JobNotFoundError) as caught:
        cloud.poll(cloud.poller())
    assert "'nightly-*'" in str(caught.value)
    assert "\n  next: check the name" in str(caught.value)
    assert "not_found_grace" in str(caught.value)


TWO = [row("b2", "nightly-2", 20.0), row("b1", "nightly-1", 10.0)]


def test_two_matches_are_an_error(dli: Any) -> None:
    """The message has both, and how to choose."""
    cloud = dli(TWO)

    with pytest.raises(ConfigurationError) as caught:
        cloud.poll(cloud.poller())
    assert "2 batches have such a name" in str(caught.value)
    assert "b2 ('nightly-2'), b1 ('nightly-1')" in str(caught.value)
    assert "on_many='newest'" in str(caught.value)


@pytest.mark.parametrize("rows", [TWO, TWO[::-1]])
def test_newest_of_two(dli: Any, rows: Any) -> None:
    """It is the one that was submitted last, in any order of the list."""
    cloud = dli(rows)

    assert "b2" == cloud.poll(cloud.poller(on_many="newest")).job_id


@pytest.mark.parametrize("rows", [TWO, TWO[::-1]])
def test_all_of_two(dli: Any, rows: Any) -> None:
    """They are in the order of their submission, with their names."""
    cloud = dli(rows)

    found = cloud.poll(cloud.poller(on_many="all"))

    assert [("b1", "nightly-1"), ("b2", "nightly-2")] == [(one.job_id, one.name) for one in found.statuses]


def test_batch_that_is_on_two_pages_is_one(dli: Any) -> None:
    """A list that shifts between two calls shows a row twice."""
    cloud = dli([row("b1", "nightly-1"), row("b1", "nightly-1")], page=1)

    assert "b1" == cloud.poll(cloud.poller()).job_id


@pytest.mark.parametrize("page", [1, 7, 100])
def test_list_in_any_order_and_on_several_pages(dli: Any, page: int) -> None:
    """A cloud may ignore all filters and the order, and send short pages."""
    rows = [row(f"b{n}", f"hourly-{n}", (n * 37 % 200) * 3600.0 - 100 * 3600) for n in range(90)]
    rows.insert(60, row("old", "nightly-0", -50 * 3600.0))
    rows.insert(75, row("b", "nightly-1"))
    cloud = dli(rows, page=page)

    assert "b" == cloud.poll(cloud.poller()).job_id


def test_endless_list_is_an_error(dli: Any) -> None:
    """What is behind the pages that are read at most could be the batch."""
    cloud = dli([row(f"b{n}", f"hourly-{n}", n * 37 % 100) for n in range(10_100)])

    with pytest.raises(MalformedResponseError, match="too long to be read\n  next: give a later submitted_after"):
        cloud.poll(cloud.poller())


@pytest.mark.parametrize(
    "broken",
    [{"id": None}, {"id": 7}, {"id": "a/b"}, {"create_time": None}, {"create_time": "x"}, {"create_time": True}],
)
def test_match_without_id_or_time_is_an_error(dli: Any, broken: Any) -> None:
    """Nobody can tell whether it is the batch that is meant. Other rows may be as they like."""
    cloud = dli([row("b1", "hourly-1", **broken), row("b2", "nightly-1")], [row("b1", "nightly-1", **broken)])

    assert "b2" == cloud.poll(cloud.poller()).job_id
    with pytest.raises(MalformedResponseError, match="shows 'nightly-1' without a valid"):
        cloud.poll(cloud.poller())


def test_later_batch_changes_nothing(dli: Any) -> None:
    """Once batches are found, the list is not read again."""
    for on_many, expected in (("error", ["b1"]), ("newest", ["b1"]), ("all", ["b1"])):
        cloud = dli([row("b1", "nightly-1")], TWO)
        poller = cloud.poller(on_many=on_many)
        cloud.poll(poller)
        cloud.poll(poller)

        assert expected == list(poller.names)
        assert 1 == len(cloud.queries)


def test_look_up_is_repeated_until_there_is_a_match(dli: Any) -> None:
    """Also after an error of the service."""
    cloud = dli([], 500, [row("b1", "nightly-1")])
    poller = cloud.poller()

    with pytest.raises(JobNotFoundError):
        cloud.poll(poller)
    with pytest.raises(ServerError, match="DLI batch 'nightly-"):
        cloud.poll(poller)
    assert "b1" == cloud.poll(poller).job_id
    assert "DLI batch b1" == poller.subject


def test_other_connection_keeps_what_was_found(dli: Any) -> None:
    """New credentials do not start the look-up again."""
    cloud = dli([row("b1", "nightly-1")], [])
    poller = cloud.poller()
    cloud.poll(poller)

    poller.open()
    poller.move_to(cloud.cloud.client(project_id="p2"))
    assert "b1" == cloud.poll(poller).job_id
    assert "GET /v2.0/p2/batches/b1/state" == cloud.cloud.sent[-1]
    poller.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T02:00:00Z", AFTER),
        ("2026-11-21 02:00:00+00:00", AFTER),
        ("2026-11-21T04:00:00+02:00", AFTER),
        (" 2026-11-21T02:00:00 ", AFTER),
        ("2026-11-21", AFTER - 7200),
        (datetime(2026, 11, 21, 2, tzinfo=UTC), AFTER),
        (datetime(2026, 11, 21, 2), AFTER),  # noqa: DTZ001  # without a time zone
        (AFTER, AFTER),
    ],
)
def test_time(monkeypatch: pytest.MonkeyPatch, value: Any, expected: float) -> None:
    """A time without a time zone is in UTC, wherever this machine is."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        found = time_from(value)
    time.tzset()

    assert expected == found


@pytest.mark.parametrize("value", [None, "", "None", "soon", True, -1, float("nan"), float("inf"), [AFTER], 1e15])
def test_no_time(value: Any) -> None:
    """What a missing value becomes is no time."""
    with pytest.raises(ConfigurationError, match="submitted_after must be"):
        time_from(value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": None},
        {"name": ""},
        {"name": "None"},
        {"name": 7},
        {"name": ["a"]},
        {"submitted_after": None},
        {"submitted_after": "2026"},
        {"submitted_after": True},
        {"on_many": "first"},
        {"on_many": None},
    ],
)
def test_search_is_checked(arguments: Any) -> None:
    """It may come from a template or a database."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        BatchSearch(**{"name": "a", "submitted_after": AFTER} | arguments)


def target(on_many: str = "error", rule: CompletionRule = RULE, name: str = "nightly-*") -> NamedTarget:
    return NamedTarget.by_name(DLI_BATCH, BatchSearch(name, AFTER, on_many), rule)


@pytest.mark.parametrize("on_many", ["error", "newest", "all"])
def test_row_by_name_is_restored(on_many: str) -> None:
    """It has the name and the time, and no ids."""
    before = target(on_many, CompletionRule(fail_fast=False))
    row = before.to_dict()

    assert before == target_from_dict(row)
    assert {"kind": "dli_batch", "name": "nightly-*", "submitted_after": AFTER, "on_many": on_many} == {
        name: row[name] for name in ("kind", "name", "submitted_after", "on_many")
    }
    assert "job_id" not in row


@pytest.mark.parametrize("broken", [{"name": None}, {"submitted_after": None}, {"on_many": "x"}, {"kind": "cph_job"}])
def test_broken_row_by_name(broken: Any) -> None:
    """A row may come from another release."""
    with pytest.raises(ConfigurationError):
        target_from_dict(target().to_dict() | broken)


def test_other_rows_are_read_as_before() -> None:
    """A row without a name has ids, and a row with ids needs no name."""
    plain = WaitTarget.of(DLI_BATCH, "b1", RULE)

    assert plain == target_from_dict(plain.to_dict())
    assert plain == target_from_dict(plain.to_dict() | {"name": "nightly-1"})
    with pytest.raises(ConfigurationError, match="must be an object"):
        target_from_dict(None)


def test_only_batches_have_names() -> None:
    """No other list is known to show names."""
    with pytest.raises(ConfigurationError, match="only jobs of kind 'dli_batch'"):
        NamedTarget.by_name(CPH_JOB, BatchSearch("a", AFTER), RULE)


@pytest.mark.parametrize(("on_many", "ids"), [("error", "b1"), ("newest", "b1"), ("all", ["b1"])])
def test_target_after_the_look_up_has_ids(dli: Any, on_many: str, ids: Any) -> None:
    """Its row is one of ids, so that a trigger cannot find another batch."""
    cloud = dli([row("b1", "nightly-1")])
    before, poller = target(on_many), cloud.poller(on_many=on_many)

    assert before is before.found(None)
    assert before is before.found(poller)
    cloud.poll(poller)
    found = before.found(poller)
    assert isinstance(found, FoundBatches)
    assert WaitTarget.of(DLI_BATCH, ids, RULE) == WaitTarget.from_dict(found.to_dict())  # as any release reads it
    assert found == target_from_dict(found.to_dict())
    assert poller is found.poller(cloud.client, poller)


@pytest.mark.parametrize("on_many", ["error", "newest", "all"])
def test_trigger_that_knows_the_ids_reads_no_list(dli: Any, on_many: str) -> None:
    """Its statuses have the names all the same, so that a worker can check them."""
    cloud = dli([])
    poller = target(on_many).with_names({"b1": "nightly-1"}).poller(cloud.client)

    found = cloud.poll(poller)
    (one,) = found.statuses if on_many == "all" else [found]
    assert ("b1", "nightly-1", []) == (one.job_id, one.name, cloud.queries)


def status(job_id: str = "b1", name: Any = "nightly-1", state: str = "success", **more: Any) -> JobStatus:
    return JobStatus(
        kind="dli_batch", job_id=job_id, state=state, outcome=DLI_BATCH.outcome_of(state), name=name, **more
    )


def summary(*statuses: JobStatus, **more: Any) -> JobsSummary:
    return JobsSummary(subject="", rule=RULE, statuses=statuses, **more)


def test_events_by_name_are_read() -> None:
    """One batch is a status; all batches are a summary."""
    assert status() == target().found_in(event_of(status()))
    several = target("all").found_in(event_of(summary(status(), status("b2", "nightly-2"))))
    assert ["b1", "b2"] == [one["job_id"] for one in target("all").value(several)]  # type: ignore[attr-defined]
    assert ["nightly-1", "nightly-2"] == [one["name"] for one in target("all").value(several)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "event",
    [
        event_of(status(name="hourly-1")),
        event_of(status(name=None)),
        event_of(status(job_id="a/b")),
        event_of(status()) | {"summary": {}},
        event_of(summary(status())),
        event_of(summary(status(), status("b2"))),
        {"status": status().to_dict() | {"kind": "cph_job"}},
        {"status": status().to_dict() | {"state": "dead"}},
        {},
        None,
    ],
)
@pytest.mark.parametrize("on_many", ["error", "newest"])
def test_event_that_does_not_fit_is_refused(on_many: str, event: Any) -> None:
    """A wrong name, several batches, another kind, or a success in a state that is none."""
    with pytest.raises(TriggerError, match="not one of this wait"):
        target(on_many).found_in(event)


@pytest.mark.parametrize(
    "event",
    [
        event_of(summary(status(), status())),
        event_of(summary(status(), status("b2", "hourly-1"))),
        event_of(summary(status(), gone=True, missing=1)),
        event_of(status()),
    ],
)
def test_event_for_all_that_does_not_fit_is_refused(event: Any) -> None:
    """A duplicate, a wrong name, a batch that is said to be gone, or no summary."""
    with pytest.raises(TriggerError, match="not one of this wait"):
        target("all").found_in(event)


def test_event_after_the_look_up_gets_the_names() -> None:
    """A poll by id does not show them. A batch that was not polled has its name, too."""
    found = target("all", CompletionRule(wait_for_all=False)).with_names({"b1": "nightly-1", "b2": "nightly-2"})
    event = event_of(summary(status(name=None), missing=1))

    value: Any = found.value(found.found_in(event))

    assert [("b1", "nightly-1"), ("b2", "nightly-2")] == [(one["job_id"], one["name"]) for one in value]
    with pytest.raises(TriggerError):
        found.found_in(event_of(summary(status("b3", name=None), missing=1)))


@pytest.mark.parametrize("names", [None, {}, [], {"a/b": "x"}, "b1"])
def test_names_that_a_deferral_kept_are_checked(names: Any) -> None:
    """They come from Airflow's database."""
    with pytest.raises(ConfigurationError, match="names of the batches that were found"):
        target().with_names(names)
