"""
List the DLI batches that were submitted since a time, also if the list ignores the filter and the order.

Huawei Cloud documents ``start`` and ``order``; Open Telekom Cloud and older editions do not. A list that ignores them
holds all batches of the project. How much of it is read depends on its own order:

* newest first: from the front to the first page with old batches only;
* oldest first: from the end, whose position ``total`` gives, back to the first page with old batches only;
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

#: A list in no order is worth a warning if it has more pages than this.
_FEW_PAGES = 10

#: Seconds by which a batch may be out of order: the clocks of the service's machines may differ.
_TOLERANCE = 60.0

#: Milliseconds since 1970 from which on a time is not in milliseconds, but in microseconds, say: it is the year 33658.
_INVALID_TIME = 1e15

#: By default, the first failed call is an error.
NO_RETRIES = RetryBudget(0.0)

#: Fields of a row that events and checkpoints show.
_SHOWN = ("name", "queue", "cluster_name", "owner")


@dataclass(frozen=True)
class RecentBatches:
    """
    The rows that were read.

    :param rows: The recent batches, and maybe older ones.
    :param remark: A warning for the log: batches are missing, or the list is costly to read.
    :param complete: Whether all recent batches are among the rows.
    """

    rows: Sequence[Row]
    remark: str | None = None
    complete: bool = True


def created_at(row: Row) -> float | None:
    """Return when a batch was submitted, in seconds since 1970; None if the row has no valid time."""
    time = row.get("create_time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < _INVALID_TIME:
        return None
    return time / 1000


def read_recent(
    client: Client, since: float, budget: RetryBudget = NO_RETRIES, name: str | None = None
) -> Flow[RecentBatches]:
    """
    List the batches that were submitted since a time, with at most :data:`MOST_PAGES` calls.

    :param since: Seconds since 1970. Batches submitted in the minute after this time may be missing.
    :param budget: How long to retry each call.
    :param name: The name of the batches that are needed; the list may have others, too. None for all batches.
    :raises HwStatusError: The list could not be read.
    """
    reader = _ListReader(client, since, budget, name)
    try:
        yield from reader.read()
    except _TooManyPagesError:
        return RecentBatches(list(reader.rows.values()), reader.incomplete_remark, complete=False)
    return RecentBatches(list(reader.rows.values()), reader.cost_remark)


class _TooManyPagesError(Exception):
    """The list has more pages than one poll may read."""


class _Order(Enum):
    UNKNOWN = auto()
    """There are no times, or they differ by less than the tolerance."""
    NEWEST_FIRST = auto()
    OLDEST_FIRST = auto()
    NONE = auto()


class _ListReader:
    def __init__(self, client: Client, since: float, budget: RetryBudget, name: str | None) -> None:
        self.rows: dict[str, Row] = {}
        self._client = client
        self._since = since
        self._budget = budget
        self._list = dli_batches_since(since, name)
        self._calls = 0
        self._order = _Order.UNKNOWN
        self._total: int | None = None

    @property
    def _is_ordered(self) -> bool:
        return self._order in (_Order.NEWEST_FIRST, _Order.OLDEST_FIRST)

    @property
    def incomplete_remark(self) -> str:
        """The warning for a list with too many pages."""
        if self._is_ordered:
            return (
                f"DLI has more recent batches than the {len(self.rows)} that one poll reads: older ones are not watched"
            )
        return (
            f"DLI's list of batches is in no order by time, and longer than the {MOST_PAGES} pages that one poll "
            "reads: a batch that is not among them is not watched"
        )

    @property
    def cost_remark(self) -> str | None:
        """The warning for a long list in no order; None if the list is short or in order."""
        if self._calls <= _FEW_PAGES or self._is_ordered:
            return None
        return f"DLI's list of batches is in no order by time: each poll reads all of it, more than {_FEW_PAGES} pages"

    def read(self) -> Flow[None]:
        """
        Read all pages that may have recent batches.

        :raises _TooManyPagesError: More pages are needed than one poll may read.
        """
        front, has_end, times = 0, True, list[float]()
        while True:
            from_end, front = yield from self._read_forward(front, has_end, times)
            if not from_end:
                return
            has_end = yield from self._read_backwards(front, self._total, times)
            if has_end:
                return

    def _read_forward(self, first: int, has_end: bool, times: list[float]) -> Flow[tuple[bool, int]]:
        """
        Read forward from a position until nothing more is needed, or until it is cheaper to read from the end.

        :param has_end: Whether reading from the end is possible.
        :param times: When the batches read so far were submitted. The times of new rows are appended.
        :return: Whether to continue from the end, and the position after the last row that was read.
        """
        front, from_end = first, False

        def take(page: Page) -> bool:
            nonlocal front, from_end
            new, front = self._new_rows(page), front + len(page.rows)
            times.extend(_times(new))
            self._order, self._total = _order_of(times), page.total
            if _is_last(page, new, front):
                return False
            old = self._is_old(page.rows)
            if old and self._order is _Order.NEWEST_FIRST:
                return False
            from_end = has_end and (self._order is _Order.OLDEST_FIRST or (old and self._order is _Order.UNKNOWN))
            if not from_end:
                self._check_page_limit()
            return not from_end

        front = yield from read_pages(self._client, self._list, self._budget, take, first)
        return from_end, front

    def _read_backwards(self, front: int, total: int | None, times: list[float]) -> Flow[bool]:
        """
        Read from the end back to the first page with old batches only, or to the rows already read from the front.

        :param front: How many rows have been read from the front.
        :param total: The number of rows of the list, if the service gave it.
        :param times: When the batches read from the front were submitted.
        :return: Whether *total* was right: the list has new rows there.
        """
        if total is None or total <= front:
            return False
        # Ask for one row less than a full page: a page that is not full is known to be the last one.
        begin = max(total - PAGE + 1, front)
        page, rows = yield from self._read_to_end(begin)
        has_end, end_times = bool(rows), _times(rows)
        while page.rows and begin > front:
            self._order = _order_of(times + end_times)
            if self._order is not _Order.NONE and self._is_old(rows):
                break
            begin = max(begin - len(page.rows), front)
            page, rows = yield from self._read_page(begin)
            end_times = _times(rows) + end_times
        return has_end

    def _read_to_end(self, first: int) -> Flow[tuple[Page, list[Row]]]:
        """Read from a position to the end; return the first page, and the new rows of all pages."""
        pages, rows = list[Page](), list[Row]()

        def take(page: Page) -> bool:
            new = self._new_rows(page)
            pages.append(page)
            rows.extend(new)
            if _is_last(page, new, first + sum(len(page.rows) for page in pages)):
                return False
            self._check_page_limit()
            return True

        self._check_page_limit()
        yield from read_pages(self._client, self._list, self._budget, take, first)
        return pages[0], rows

    def _read_page(self, first: int) -> Flow[tuple[Page, list[Row]]]:
        """Read one page; return it and its new rows."""
        self._check_page_limit()
        page = yield from self._list.page(self._client, first, self._budget)
        return page, self._new_rows(page)

    def _check_page_limit(self) -> None:
        """:raises _TooManyPagesError: No further page may be read."""
        if self._calls >= MOST_PAGES:
            raise _TooManyPagesError

    def _new_rows(self, page: Page) -> list[Row]:
        """Count a page; return those of its rows that no earlier page had, redacted."""
        self._calls += 1
        new = {str(row.get("id")): row for row in page.rows if str(row.get("id")) not in self.rows}
        new = {job_id: self._redacted(row) for job_id, row in new.items()}
        self.rows |= new
        return list(new.values())

    def _redacted(self, row: Row) -> Row:
        texts = {name: text for name in _SHOWN if isinstance(text := row.get(name), str)}
        return {**row, **{name: self._client.redact(text) for name, text in texts.items()}}

    def _is_old(self, rows: Sequence[Row]) -> bool:
        """Return whether all rows with a time are too old; a row without one is taken to be as old as the others."""
        times = _times(rows)
        return bool(times) and max(times) < self._since


def _is_last(page: Page, new: Sequence[Row], after: int) -> bool:
    """
    Return whether no page follows. Pages may be shorter than asked for, and *total* may be missing or wrong.

    :param new: The rows of the page that no earlier page had.
    :param after: The position of the first row after the page.
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
