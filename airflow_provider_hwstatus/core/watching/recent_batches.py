"""
The DLI batches submitted since a time, from a list that may ignore the time and the order that it is asked for.

``start`` and ``order`` are documented for Huawei Cloud, but not for Open Telekom Cloud, nor in older editions. A list
that ignores them has all batches of the project, and how it is read depends on its own order:

* newest first: up to the first page on which all batches are older;
* oldest first: from the end, which ``total`` tells, backwards to such a page;
* in no order, or without times: all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_lists import MOST_PAGES, PAGE, Page, Row, dli_batches_since, read_pages
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget

#: Pages from which on a list in no order is worth a remark.
_FEW_PAGES = 10

#: Seconds by which a batch may be out of order: the service's machines need not agree on the time.
_TOLERANCE = 60.0

#: From here on, milliseconds since 1970 must be something else, such as microseconds: it is the year 33658.
_NO_TIME = 1e15

#: What events and checkpoints show of a row.
_SHOWN = ("name", "queue", "cluster_name", "owner")


@dataclass(frozen=True)
class RecentBatches:
    """
    What the list shows.

    :param rows: The batches, and maybe older ones.
    :param remark: What the log should say about the list: that batches are missing, or that it is costly to read.
    """

    rows: Sequence[Row]
    remark: str | None = None


def created_at(row: Row) -> float | None:
    """Return when the batch of a row was submitted, in seconds since 1970; None if the row does not say."""
    time = row.get("create_time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < _NO_TIME:
        return None
    return time / 1000


def read_recent(client: Client, since: float) -> Flow[RecentBatches]:
    """
    Read the list of batches, with at most :data:`MOST_PAGES` calls.

    :param since: Seconds since 1970. Batches that are less than a minute younger may be missing.
    :raises HwStatusError: It could not be read.
    """
    reading = _Reading(client, since)
    try:
        yield from reading.read()
    except _TooLongError:
        return RecentBatches(list(reading.rows.values()), reading.incomplete)
    return RecentBatches(list(reading.rows.values()), reading.costly)


class _TooLongError(Exception):
    """The list has more pages than may be read."""


class _Order(Enum):
    UNKNOWN = auto()
    """There are no times, or all are nearly the same."""
    NEWEST_FIRST = auto()
    OLDEST_FIRST = auto()
    NONE = auto()


class _Reading:
    def __init__(self, client: Client, since: float) -> None:
        self.rows: dict[str, Row] = {}
        self._client = client
        self._since = since
        self._list = dli_batches_since(since)
        self._calls = 0
        self._order = _Order.UNKNOWN
        self._total: int | None = None

    @property
    def incomplete(self) -> str:
        """What to say when the list was too long."""
        if self._order in (_Order.NEWEST_FIRST, _Order.OLDEST_FIRST):
            return (
                f"DLI has more recent batches than the {len(self.rows)} that one poll reads: older ones are not watched"
            )
        return (
            f"DLI's list of batches is in no order by time, and longer than the {MOST_PAGES} pages that one poll "
            "reads: a batch that is not among them is not watched"
        )

    @property
    def costly(self) -> str | None:
        """What to say when the list took calls that one in order would not take."""
        if self._calls <= _FEW_PAGES or self._order in (_Order.NEWEST_FIRST, _Order.OLDEST_FIRST):
            return None
        return f"DLI's list of batches is in no order by time: each poll reads all of it, more than {_FEW_PAGES} pages"

    def read(self) -> Flow[None]:
        """
        Read what is needed.

        :raises _TooLongError: The list has more pages than may be read.
        """
        front, has_end, times = 0, True, list[float]()
        while True:
            turn, front = yield from self._read_forward(front, has_end, times)
            if not turn:
                return
            has_end = yield from self._read_backwards(front, self._total, times)
            if has_end:
                return

    def _read_forward(self, first: int, has_end: bool, times: list[float]) -> Flow[tuple[bool, int]]:
        """
        Read from a position until nothing more is needed, or until it is cheaper to read from the end.

        :param has_end: Whether the list may be read from the end.
        :param times: When the batches that were read were submitted; grows.
        :return: Whether to read from the end, and the position after the last row that was read.
        """
        front, turn = first, False

        def take(page: Page) -> bool:
            nonlocal front, turn
            new, front = self._new_rows(page), front + len(page.rows)
            times.extend(_times(new))
            self._order, self._total = _order_of(times), page.total
            if _is_last(page, new, front):
                return False
            old = self._is_old(page.rows)
            if old and self._order is _Order.NEWEST_FIRST:
                return False
            turn = has_end and (self._order is _Order.OLDEST_FIRST or (old and self._order is _Order.UNKNOWN))
            return not turn and self._may_go_on()

        front = yield from read_pages(self._client, self._list, RetryBudget(0.0), take, first)
        return turn, front

    def _read_backwards(self, front: int, total: int | None, times: list[float]) -> Flow[bool]:
        """
        Read from the end to the first page that is old, or to the front.

        :param front: How many rows have been read from the front, and *times* when these were submitted.
        :return: Whether the end is where *total* says.
        """
        if total is None or total <= front:
            return False
        # The last page is asked for with one row less than it could have: a short page has none after it.
        begin = max(total - PAGE + 1, front)
        page, rows = yield from self._read_to_end(begin)
        found, end = bool(rows), _times(rows)
        while page.rows and begin > front:
            self._order = _order_of(times + end)
            if self._order is not _Order.NONE and self._is_old(rows):
                break
            begin = max(begin - len(page.rows), front)
            page, rows = yield from self._page(begin)
            end = _times(rows) + end
        return found

    def _read_to_end(self, first: int) -> Flow[tuple[Page, list[Row]]]:
        """Return the first page, and the new rows of all pages to the end."""
        pages, rows = list[Page](), list[Row]()

        def take(page: Page) -> bool:
            new = self._new_rows(page)
            pages.append(page)
            rows.extend(new)
            return not _is_last(page, new, first + sum(len(page.rows) for page in pages)) and self._may_go_on()

        self._may_go_on()
        yield from read_pages(self._client, self._list, RetryBudget(0.0), take, first)
        return pages[0], rows

    def _page(self, first: int) -> Flow[tuple[Page, list[Row]]]:
        """Return a page, and its new rows."""
        self._may_go_on()
        page = yield from self._list.page(self._client, first, RetryBudget(0.0))
        return page, self._new_rows(page)

    def _may_go_on(self) -> bool:
        """:raises _TooLongError: No further page may be read."""
        if self._calls >= MOST_PAGES:
            raise _TooLongError
        return True

    def _new_rows(self, page: Page) -> list[Row]:
        """Count a page, and return those of its rows that no page before had."""
        self._calls += 1
        new = {str(row.get("id")): row for row in page.rows if str(row.get("id")) not in self.rows}
        new = {job_id: self._without_secrets(row) for job_id, row in new.items()}
        self.rows |= new
        return list(new.values())

    def _without_secrets(self, row: Row) -> Row:
        texts = {name: text for name in _SHOWN if isinstance(text := row.get(name), str)}
        return {**row, **{name: self._client.redact(text) for name, text in texts.items()}}

    def _is_old(self, rows: Sequence[Row]) -> bool:
        """Return whether none of the rows is of interest; one without a time is as old as those around it."""
        times = _times(rows)
        return bool(times) and max(times) < self._since


def _is_last(page: Page, new: Sequence[Row], after: int) -> bool:
    """
    Return whether no page comes after this one.

    :param after: Where the next one would begin. Pages may be shorter than they could be, and *total* missing or wrong.
    """
    return not new or (page.total is not None and after >= page.total and len(page.rows) < PAGE)


def _times(rows: Sequence[Row]) -> list[float]:
    return [time for time in map(created_at, rows) if time is not None]


def _order_of(times: Sequence[float]) -> _Order:
    if not times or max(times) - min(times) <= _TOLERANCE:
        return _Order.UNKNOWN
    if all(time <= oldest + _TOLERANCE for time, oldest in zip(times, accumulate(times, min), strict=True)):
        return _Order.NEWEST_FIRST
    if all(time >= newest - _TOLERANCE for time, newest in zip(times, accumulate(times, max), strict=True)):
        return _Order.OLDEST_FIRST
    return _Order.NONE
