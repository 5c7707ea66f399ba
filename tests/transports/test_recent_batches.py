"""Recent batches are found also if a cloud's list ignores the filter and the order."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling import recent_batches
from airflow_provider_hwstatus.core.polling.job_lists import MOST_PAGES
from airflow_provider_hwstatus.core.polling.recent_batches import read_recent
from airflow_provider_hwstatus.testing import FakeHuaweiCloud
from airflow_provider_hwstatus.transports.requests_transport import SyncTransport
from airflow_provider_hwstatus.transports.runners import SyncHandlers, run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

NOW = 1_700_000_000.0
HOUR = 3600.0


def client_of(fake):
    fields = fake.connection()
    return Client(settings_from(fields["login"], fields["password"], fields["extra"]), lambda: NOW)


class Cloud:
    """
    A fake cloud with a fixed time, and a client for it.

    :param send: Sends a request to the fake cloud.
    """

    def __init__(self, fake, client, send):
        self.fake, self.client, self.send = fake, client, send

    def add(self, count, youngest, oldest):
        """Add *count* batches, aged *youngest* to *oldest* seconds; return their ids, the newest first."""
        step = (oldest - youngest) / max(count - 1, 1)
        return [self.fake.foreign_jobs("dli_batch", 1, "running", age=youngest + n * step)[0] for n in range(count)]

    def read(self, since=NOW - HOUR):
        """Read the list; return the ids found, the number of calls, and the remark."""
        before = self.fake.batch_list.calls
        found = self.read_rows(since)
        return {row["id"] for row in found.rows}, self.fake.batch_list.calls - before, found.remark

    def read_rows(self, since=NOW - HOUR):
        """Read the list; return the rows and the remark."""
        flights = SingleFlights(lambda name: threading.Lock())
        handlers = SyncHandlers(self.send, flights, mask=lambda text: None, count=lambda name: None)
        return run_sync(read_recent(self.client, since), handlers)


@pytest.fixture
def cloud(send_in_process):
    fake = FakeHuaweiCloud(80, lambda: NOW)  # never started; an endpoint needs a port
    return Cloud(fake, client_of(fake), lambda request, until: send_in_process(fake, request))


@pytest.fixture
def cloud_with_http():
    with FakeHuaweiCloud(clock=lambda: NOW) as fake, SyncTransport(client := client_of(fake)) as transport:
        yield Cloud(fake, client, transport.send)


ORDERS = pytest.mark.parametrize("backwards", [False, True], ids=["newest first", "oldest first"])


@ORDERS
@pytest.mark.parametrize("ignores", [{"start"}, {"start", "end", "order"}])
@pytest.mark.parametrize("old", [900, 12_000])
def test_old_batches_cost_nothing(cloud, old, ignores, backwards):
    """Recent batches are found with at most three calls, however many old batches there are."""
    cloud.fake.batch_list.ignores = ignores
    cloud.fake.batch_list.backwards = backwards
    cloud.add(old, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(30, 0.0, 0.9 * HOUR)

    found, calls, remark = cloud.read()
    assert set(recent) <= found
    assert calls <= 3
    assert remark is None


@ORDERS
@pytest.mark.parametrize("recent", [1, 99, 100, 101, 250])
@pytest.mark.parametrize("old", [0, 1, 99, 100, 101, 350])
def test_no_recent_batch_is_missed(cloud, recent, old, backwards):
    """Three calls more than full pages suffice: for the rest, to see the order, and to see the end."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    cloud.fake.batch_list.backwards = backwards
    cloud.add(old, 2 * HOUR, 1000 * HOUR)
    ids = cloud.add(recent, 0.0, 0.9 * HOUR)

    found, calls, remark = cloud.read()
    assert set(ids) <= found
    assert calls <= recent // 100 + 3
    assert remark is None


@pytest.mark.parametrize("cloud_name", ["cloud", "cloud_with_http"])
def test_list_with_the_documented_filter_is_read_once(request, cloud_name):
    """If the filter works, no older batch is read, and no page twice."""
    cloud = request.getfixturevalue(cloud_name)
    cloud.add(500, 2 * HOUR, 10 * HOUR)
    recent = cloud.add(130, 0.0, 0.9 * HOUR)

    assert (set(recent), 2, None) == cloud.read()


def test_rows_hold_no_secret(cloud):
    """A row's texts reach events and checkpoints, so they are redacted."""
    secret = cloud.fake.secret_key
    texts = {"name": f"etl {secret}", "queue": f"queue-{secret[:20]}", "owner": secret}
    cloud.fake.foreign_jobs("dli_batch", 1, "running", **texts)

    (row,) = cloud.read_rows().rows
    assert {"name": "etl ***", "queue": "queue-***", "owner": "***"} == {name: row[name] for name in texts}


@ORDERS
def test_batches_with_equal_times_show_no_order(cloud, backwards):
    """Two hundred batches with one submission time do not show whether newer or older ones follow."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    cloud.fake.batch_list.backwards = backwards
    cloud.add(200, 100 * HOUR, 100 * HOUR)
    cloud.add(200, 2 * HOUR, 2 * HOUR)
    recent = cloud.add(200, 0.0, 0.0)

    found, calls, remark = cloud.read()
    assert set(recent) <= found
    assert calls <= 6
    assert remark is None


@pytest.mark.parametrize("width", [7, 50])
@ORDERS
def test_pages_may_be_shorter_than_asked_for(cloud, width, backwards):
    """No batch is missed if pages have fewer rows than asked for."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    cloud.fake.batch_list.backwards = backwards
    cloud.fake.batch_list.max_rows = width
    cloud.add(300, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(40, 0.0, 0.9 * HOUR)

    found, calls, _ = cloud.read()
    assert set(recent) <= found
    assert calls <= 99 // width + 40 // width + 4


@pytest.mark.parametrize("total", [None, 0, 50, 399, 401, 5000, "missing"])
@ORDERS
def test_total_is_not_trusted(cloud, total, backwards):
    """A wrong or missing total costs calls, but no batch is missed."""
    listing = cloud.fake.batch_list
    listing.ignores, listing.backwards = {"start", "end", "order"}, backwards
    listing.omits, listing.total = ({"total"}, None) if total == "missing" else (set(), total)
    cloud.add(370, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(30, 0.0, 0.9 * HOUR)

    found, calls, _ = cloud.read()
    assert set(recent) <= found
    assert calls <= 7


@pytest.mark.parametrize("change", ["more", "fewer"])
def test_list_that_changes_while_it_is_read(cloud, change):
    """Batches that appear or disappear between two pages do not hide others."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    cloud.fake.batch_list.backwards = True
    old = cloud.add(500, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(250, 0.0, 0.9 * HOUR)

    def move(rows):
        if change == "more":
            cloud.add(60, 0.0, 0.0)
        else:
            cloud.fake.batch_list.hidden |= {old.pop() for _ in range(7)}
        return rows

    cloud.fake.batch_list.edit = move
    found, calls, _ = cloud.read()
    assert set(recent) <= found
    assert calls <= 20


def test_endless_list_is_read_to_the_limit(cloud):
    """The remark says that some batches are not watched."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    numbers = itertools.count()
    cloud.fake.batch_list.edit = lambda rows: [
        {"id": f"b{next(numbers)}", "state": "running", "create_time": 10**9 * (next(numbers) * 617 % 1000)}
        for _ in range(100)
    ]

    found, calls, remark = cloud.read()
    assert (100 * MOST_PAGES, MOST_PAGES) == (len(found), calls)
    assert "a batch that is not among them is not watched" in remark


@pytest.mark.parametrize("without", ["create_time", "order"])
def test_list_in_no_order_is_read_whole(cloud, without):
    """Without times or order, each poll reads the whole list; the remark says so."""
    listing = cloud.fake.batch_list
    listing.ignores = {"start", "end", "order"}
    ages = [(n * 617 % 1150) * 0.01 * HOUR for n in range(1150)] if without == "order" else [0.0] * 1150
    if without == "order":
        newest_last = iter(ages)
        listing.edit = lambda rows: [row | {"create_time": int((NOW - next(newest_last)) * 1000)} for row in rows]
    else:
        listing.omits = {"create_time"}
    ids = cloud.add(1150, 0.0, 1000 * HOUR)

    found, calls, remark = cloud.read()
    assert set(ids) == found
    assert calls == 12
    assert "each poll reads all of it" in remark


def test_few_rows_without_a_time_do_not_matter(cloud):
    """A row without a time is taken to be as old as its neighbours."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    cloud.fake.batch_list.edit = lambda rows: [
        {**row, "create_time": None} if n % 10 == 0 else row for n, row in enumerate(rows)
    ]
    cloud.add(900, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(30, 0.0, 0.9 * HOUR)

    found, calls, remark = cloud.read()
    assert set(recent) <= found
    assert (2, None) == (calls, remark)


def test_small_disorder_is_tolerated(cloud):
    """The clocks of the service's machines may differ by seconds."""
    cloud.fake.batch_list.ignores = {"start", "end", "order"}
    rng = random.Random(7)  # noqa: S311  # the same numbers in every run
    cloud.fake.batch_list.edit = lambda rows: [
        row | {"create_time": row["create_time"] + rng.randrange(-20_000, 20_000)} for row in rows
    ]
    cloud.add(900, 2 * HOUR, 1000 * HOUR)
    recent = cloud.add(130, 0.0, 0.9 * HOUR)

    found, calls, remark = cloud.read()
    assert set(recent) <= found
    assert (3, None) == (calls, remark)


def test_more_recent_batches_than_one_poll_reads(cloud, monkeypatch):
    """The newest batches are read, up to the limit of pages; the remark says that older ones are not watched."""
    monkeypatch.setattr(recent_batches, "MOST_PAGES", 10)
    recent = cloud.add(1050, 0.0, 0.9 * HOUR)

    found, calls, remark = cloud.read()
    assert set(recent[:1000]) == found
    assert 10 == calls
    assert "older ones are not watched" in remark
