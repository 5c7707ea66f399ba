"""Which batches have ended: each end is reported once and none is lost, for any list and any checkpoint."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.watching import batch_watermark
from airflow_provider_hwstatus.core.watching.batch_watermark import (
    NOT_FOUND_POLLS,
    NOT_FOUND_SECONDS,
    OVERLAP,
    BatchFilter,
    BatchWatermark,
    RunningBatch,
)
from airflow_provider_hwstatus.core.watching.request_watermark import RequestWatermark

DAY = 86_400.0
NOW = 1_795_000_000.0


def seen(since=0.0, **fields):
    """Return the watermark of a watcher that has read a list before."""
    return BatchWatermark(since, **{"report_since": 0.0} | fields)


def take(ends, *rows, now=10_000.0):
    """Let a watermark take the rows of a list, and settle the jobs to poll; return their ids."""
    job_ids = ends.update(rows, BatchFilter(), now)
    for job_id in job_ids:
        ends.mark_ended(job_id)
    return job_ids


def row(job_id, state="success", **fields):
    """Return the row of a job."""
    return {"id": job_id, "state": state, **fields}


def stored(ends, saved=0.0):
    """Return the checkpoint as the database returns it."""
    return json.loads(json.dumps(ends.to_dict() | {"saved_at": saved}))


def test_remembers_all_ends_that_a_list_can_show(monkeypatch):
    """Ended jobs are forgotten only when no list can show them."""
    monkeypatch.setattr(batch_watermark, "MOST_PAGES", 2)
    ends = seen()
    rows = [row(f"b{number}", create_time=number * 1000) for number in range(150)]

    assert 150 == len(take(ends, *rows)) == len(ends.ended)
    assert [] == take(ends, *rows)
    assert [] == take(BatchWatermark.from_dict(stored(ends), 10_000.0), *rows)


def test_job_without_a_time_is_reported_once():
    """A row without a time is reported once."""
    ends = seen()

    assert ["x"] == take(ends, row("x"))
    for hour in range(2, 6):
        assert [f"b{hour}"] == take(ends, row(f"b{hour}", create_time=hour * 3600_000), row("x"), now=hour * 3600 + 9.0)


@pytest.mark.parametrize("create_time", [2_000_000_000_000, 9e14, 1e400, 10**400, -1, True, "2026", math.nan])
def test_invalid_time_hides_no_later_job(create_time):
    """A job with an invalid time is reported once, and later jobs are reported, too."""
    ends = seen()

    assert ["x"] == take(ends, row("x", create_time=create_time))
    assert ends.since <= 10_000.0
    later = [row("x", create_time=create_time), row("y", create_time=20_000_000)]
    assert ["y"] == take(ends, *later, now=20_001.0)
    assert [] == take(BatchWatermark.from_dict(stored(ends), 20_001.0), *later, now=20_002.0)


@pytest.mark.parametrize("job_id", ["../x", "", "a" * 129, 7, None, ["x"]])
def test_row_without_an_id_is_left_out(job_id):
    """A row without a valid id is ignored."""
    ends = seen()

    assert [] == take(ends, row(job_id, "running"))
    assert {} == ends.running


class Polls:
    """A watcher that polls every minute."""

    def __init__(self, *going, ended=()):
        self.ends = seen(running={one: RunningBatch(0.0) for one in going}, ended=dict.fromkeys(ended, 1e9))
        self.now = 0.0

    def poll(self, gone=(), answered=(), listed=(), times=1):
        """Poll a few times with the same result; return which jobs are in progress then."""
        for _ in range(times):
            self.now += 60.0
            self.ends.update([row(one, "running") for one in listed], BatchFilter(), self.now)
            self.ends.drop_not_found(answered, gone, self.now)
        return set(self.ends.running)


def test_job_that_the_service_does_not_know_for_long_is_given_up(caplog):
    """A job that DLI has not known for ten minutes is given up, and the log names it."""
    polls = Polls("b1", "b2", "b3")
    often = int(NOT_FOUND_SECONDS / 60)

    assert {"b1", "b2", "b3"} == polls.poll(gone=["b1"], answered=["b2", "b3"], times=often)
    assert {"b2", "b3"} == polls.poll(gone=["b1"], answered=["b2", "b3"])
    assert {"b2", "b3"} == polls.poll(answered=["b2", "b3"], times=3)
    (line,) = caplog.messages
    assert f"b1 is dropped: DLI has not found it for 600 s, in {often + 1} polls" in line


def test_few_polls_give_nothing_up():
    """A job is not given up after fewer than three polls, however much time is between them."""
    polls = Polls("b1", "b2")
    for _ in range(NOT_FOUND_POLLS - 1):
        polls.now += 2 * NOT_FOUND_SECONDS
        assert {"b1", "b2"} == polls.poll(gone=["b1"], answered=["b2"])
    assert {"b2"} == polls.poll(gone=["b1"], answered=["b2"])


@pytest.mark.parametrize("again", ["answered", "listed"])
def test_job_that_is_known_again_is_counted_anew(again):
    """Only polls in a row count."""
    polls = Polls("b1", "b2")
    polls.poll(gone=["b1"], answered=["b2"], times=10)
    polls.poll(**{again: ["b1", "b2"]})

    assert {"b1", "b2"} == polls.poll(gone=["b1"], answered=["b2"], times=10)
    assert {"b2"} == polls.poll(gone=["b1"], answered=["b2"])


def test_poll_without_an_answer_does_not_count():
    """An outage between two polls does not change the count."""
    polls = Polls("b1", "b2")
    polls.poll(gone=["b1"], answered=["b2"], times=8)
    polls.poll(times=20)

    assert {"b1", "b2"} == polls.ends.running.keys()
    assert {"b2"} == polls.poll(gone=["b1"], answered=["b2"])


@pytest.mark.parametrize("jobs", [1, 2, 21])
def test_nothing_is_given_up_while_all_is_unknown(jobs, caplog):
    """If DLI knows none of the jobs, none is given up, and the log has one line."""
    names = [f"b{number}" for number in range(jobs)]
    polls = Polls(*names)

    assert set(names) == polls.poll(gone=names, times=1440)
    (line,) = caplog.messages
    assert f"{jobs} others are not found" in line


def test_nothing_is_given_up_while_most_is_unknown():
    """If DLI does not know more than half of the jobs, none is given up."""
    polls = Polls("b1", "b2", "b3", ended=["b4"])

    assert {"b1", "b2", "b3"} == polls.poll(gone=["b2", "b3"], answered=["b1"], times=100)
    assert {"b1"} == polls.poll(gone=["b2", "b3"], answered=["b1"], listed=["b4"], times=11)


def test_job_that_the_list_shows_is_not_given_up():
    """A job that the list shows is not given up, whatever its own poll finds."""
    polls = Polls("b1", "b2")
    polls.ends.update([row("b1", "success")], BatchFilter(), 1.0)

    for _ in range(100):
        polls.now += 60
        polls.ends.update([row("b1", "success")], BatchFilter(), polls.now)
        polls.ends.drop_not_found(["b2"], ["b1"], polls.now)
    assert {"b1", "b2"} == set(polls.ends.running)


def test_polls_count_across_restarts():
    """The count continues after a restart."""
    polls = Polls("b1", "b2")
    for _ in range(2):
        assert {"b1", "b2"} == polls.poll(gone=["b1"], answered=["b2"], times=5)
        polls.ends = BatchWatermark.from_dict(stored(polls.ends), polls.now)
    assert {"b2"} == polls.poll(gone=["b1"], answered=["b2"])


#: The checkpoint of a watcher that has run for a day.
CHECKPOINT = {
    "since": NOW - 2 * OVERLAP,
    "running": {"g1": vars(RunningBatch(NOW - DAY, "etl", "q", "ann")), "g2": vars(RunningBatch(NOW - 60))},
    "ended": {"e1": NOW - 5000.0, "e2": NOW - OVERLAP},
    "saved_at": NOW - 30.0,
}

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1e308, -1, 10**400]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def news(ends):
    """Return the jobs that a watcher reports of those in the checkpoint and of new ones."""
    rows = [row(one, create_time=(NOW - 60) * 1000) for one in ("g1", "g2", "new")]
    return set(take(ends, *rows, now=NOW + 10)) | set(take(ends, row("newer", create_time=NOW * 1000), now=NOW + 70))


def test_valid_checkpoint_is_kept(caplog):
    """A valid checkpoint is read completely, without a log line."""
    ends = BatchWatermark.from_dict(json.loads(json.dumps(CHECKPOINT)), NOW)

    assert CHECKPOINT == ends.to_dict() | {"saved_at": ends.saved_at}
    assert [] == caplog.messages
    assert {"g1", "g2", "new", "newer"} == news(ends)


WRONG = (math.inf, -math.inf, math.nan, 1e308, 10**400, -5, "x", None, [], {}, True, NOW + DAY)

#: Invalid values of a field, with its path.
CORRUPT = [
    *((path, value) for path in ("since", "saved_at", "ended", "running", "ended e1") for value in WRONG),
    *((f"running g1{field}", value) for field in ("", " created", " not_found_since") for value in WRONG),
    *(("running g1 name", value) for value in WRONG if value != "x"),
    *(("running g1 not_found_polls", value) for value in WRONG if value not in (10**400, NOW + DAY)),
]


@pytest.mark.parametrize(
    ("path", "value"), [case for case in CORRUPT if case not in (("ended", {}), ("running", {}))], ids=str
)
def test_corrupt_value_silences_no_watcher(path, value, caplog):
    """With any corrupt value, new ends and those of known jobs are reported, and the log names the field."""
    checkpoint = json.loads(json.dumps(CHECKPOINT))
    *parents, name = path.split()
    inner = checkpoint
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    ends = BatchWatermark.from_dict(checkpoint, NOW)

    assert ("running" == path) == ("g1" not in ends.running)
    assert {"g2", "new", "newer"} | ends.running.keys() <= news(ends)
    assert f"corrupt ({'1 of ' if parents else ''}{path.split()[0]})" in caplog.text


@pytest.mark.parametrize("name", CHECKPOINT)
def test_missing_field_silences_no_watcher(name, caplog):
    """A missing field is handled like a corrupt one."""
    ends = BatchWatermark.from_dict({key: value for key, value in CHECKPOINT.items() if key != name}, NOW)

    assert {"g2", "new", "newer"} <= news(ends)
    assert f"corrupt ({name})" in caplog.text


def test_corrupt_jobs_are_separate():
    """The state of one corrupt job does not affect that of another one."""
    ends = BatchWatermark.from_dict(
        CHECKPOINT | {"running": {"g1": None, "g2": None, "g3": vars(RunningBatch(NOW))}}, NOW
    )

    for poll in range(NOT_FOUND_POLLS):
        ends.update([row("g3", "running")], BatchFilter(), NOW + poll * NOT_FOUND_SECONDS)
        ends.drop_not_found(["g2"], ["g1"], NOW + poll * NOT_FOUND_SECONDS)
    assert {"g2", "g3"} == ends.running.keys()


def test_lost_start_is_found_again():
    """Without the start, known jobs show where to continue, and their ends are not reported again."""
    ends = BatchWatermark.from_dict(CHECKPOINT | {"since": None}, NOW)

    assert "e2" not in take(ends, row("e2", create_time=(NOW - OVERLAP) * 1000), now=NOW)


def test_lost_jobs_are_looked_for_again():
    """Without the jobs in progress, those of the last day are watched, and earlier ends are not reported."""
    ends = BatchWatermark.from_dict(CHECKPOINT | {"running": None}, NOW)
    old = (NOW - 20 * OVERLAP) * 1000

    ends.update([row("g1", "running", create_time=old), row("o1", create_time=old)], BatchFilter(), NOW)
    assert ["g1"] == list(ends.running)
    assert ["g1"] == take(ends, row("g1", create_time=old), row("o1", create_time=old), now=NOW + 60)


def test_saved_shows_that_repeats_are_possible():
    """After a loss, saved is the time from which on reports may be repeated."""
    assert CHECKPOINT["saved_at"] == BatchWatermark.from_dict(CHECKPOINT, NOW).saved_at
    assert CHECKPOINT["since"] == BatchWatermark.from_dict(CHECKPOINT | {"ended": None}, NOW).saved_at


def test_too_many_jobs_are_not_all_read():
    """At most ten thousand jobs of a checkpoint are watched."""
    ends = BatchWatermark.from_dict(
        CHECKPOINT | {"running": {f"b{n}": vars(RunningBatch(NOW)) for n in range(20_000)}}, NOW
    )

    assert 10_000 == len(ends.running)


@given(st.dictionaries(st.sampled_from(sorted(CHECKPOINT)), JUNK))
def test_any_json_is_read(fields):
    """With any JSON in its fields, a watcher begins and reports new ends."""
    assert {"newer"} <= news(BatchWatermark.from_dict(CHECKPOINT | fields, NOW))


@given(JUNK)
def test_anything_is_read(fields):
    """With any JSON as its checkpoint, a watcher begins and reports new ends."""
    assert {"newer"} <= news(BatchWatermark.from_dict(fields, NOW))


@pytest.mark.parametrize("fields", [{}, [], "x", 1e308, True])
def test_invalid_checkpoint_begins_anew(fields, caplog):
    """With an invalid checkpoint, jobs in progress of the last day are watched, and the log says so."""
    ends = BatchWatermark.from_dict(fields, NOW)

    assert (NOW - DAY, False) == (ends.since, ends.started)
    assert "corrupt" in caplog.text


@pytest.mark.parametrize("began", [value for value in WRONG if value != -1])
@pytest.mark.parametrize("told", [False, True, 1, "x", None])
def test_request_with_a_corrupt_checkpoint_is_watched(began, told, caplog):
    """With a corrupt checkpoint a request begins now, and its end is reported unless it is known to have been."""
    request = RequestWatermark("r1", Expected())
    request.restore({"started_at": began, "reported": told}, NOW)

    assert (NOW, told is True) == (request.started_at, request.reported)
    assert "CPH request r1 is corrupt (started_at" in caplog.text


def test_request_continues_after_a_restart(caplog):
    """A valid checkpoint of a request is kept, and without one the request begins now."""
    request = RequestWatermark("r1", Expected())
    request.restore(None, NOW)
    assert (NOW, False) == (request.started_at, request.reported)
    request.restore({"started_at": NOW - 5, "reported": True, "saved_at": NOW}, NOW)
    assert (NOW - 5, True) == (request.started_at, request.reported)
    assert [] == caplog.messages
