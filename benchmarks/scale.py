"""Whether a large site is read to the end, and whether memory grows with it.

    python -m benchmarks scale                 about 25 minutes
    python -m benchmarks scale --pages 20000 --children 0 --cursors 0 --partitions 5000 --workers 2 25

Reads the pages of large sites, parents with very many children, and streams that ask once for each page,
with few workers and with many; and, to compare with, a tenth of it. Each read is a process of its own and
must bring every record. Memory is the most that the process held at once. It and the counts are the same on
a busy machine; the times are not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.readers import CONNECTOR, READERS, WORKERS
from benchmarks.runner import measure
from benchmarks.site import SiteProcess
from benchmarks.workloads import BODY_BYTES, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

GOAL = 1.2
PAGES, CHILDREN, PARTITIONS, CURSORS = 200_000, 100_000, 100_000, 100_000
ALL_WORKERS = (2, 3, 5, WORKERS, 25)  # from the least that may be configured to the most
HEAD = (
    "| Read | Workers | Records | Requests | Peak memory | of a tenth | Ratio | CPU | Wall |\n"
    "|:--|--:|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Large(Workload):
    """A read that knows how many records it must bring.

    Attributes:
        brings: How many.
    """

    brings: int = 0

    @property
    def records(self) -> int:
        """How many records there must be."""
        return self.brings


def pages(count: int) -> Large:
    """Read pages alone."""
    return Large(f"{count:,} pages in 200 spaces", {}, count, 200, brings=count)


def pages_and_spaces(count: int) -> Large:
    """Read pages and spaces, one for each 20 pages."""
    spaces = count // 20
    title = f"{count:,} pages and their {spaces:,} spaces"
    return Large(title, {}, count, spaces, streams=("space", "pages"), brings=count + spaces)


def versions_of_one_page(count: int) -> Large:
    """Read all versions of the one page of a site."""
    return _bodiless(f"{count:,} versions of one page", 1, "page_versions", count, versions_per_page=count)


def pages_of_one_label(count: int) -> Large:
    """Read which pages have the one label of a site."""
    return _bodiless(f"one label on {count:,} pages", count, "page_labels", count, labels=1)


def labels_of_one_page(count: int) -> Large:
    """Read the labels of a page that has all that there are: a request for each."""
    title = f"{count:,} labels on one page"
    return _bodiless(title, 1, "page_labels", count, labels=count, labels_per_page=count)


def views(count: int) -> Large:
    """Ask once for each page, and get one record each time."""
    return _bodiless(f"views of {count:,} pages", count, "page_views", count)


def versions(count: int) -> Large:
    """Ask once for each page, with a cursor for each."""
    return _bodiless(f"versions of {count:,} pages", count, "page_versions", 2 * count, versions_per_page=2)


def main(
    page_count: int = PAGES,
    child_count: int = CHILDREN,
    partition_count: int = PARTITIONS,
    cursor_count: int = CURSORS,
    workers: Sequence[int] = ALL_WORKERS,
) -> None:
    """Measure and print; what there are 0 of is left out.

    Raises:
        SystemExit: A read failed or lacks records, or memory has grown beyond the goal.
    """
    misses = list[str]()
    if page_count:
        print(f"Pages, with bodies of {BODY_BYTES // 1000} KB\n\n{HEAD}")
        misses += compared((pages, pages_and_spaces), page_count)
    if child_count:
        print(f"\nParents with many children\n\n{HEAD}")
        misses += compared((versions_of_one_page, pages_of_one_label, labels_of_one_page), child_count)
    if partition_count:
        print(f"\nA request for each page\n\n{HEAD}")
        misses += compared((views,), partition_count)
        with SiteProcess(views(partition_count).sizes) as site:
            for number in workers:
                if number != WORKERS:
                    misses += _row(views(partition_count), site, number)
    if cursor_count:
        print(f"\nA request and a cursor for each page\n\n{HEAD}")
        misses += compared((versions,), cursor_count)
    print(f"\nMemory is to be at most {GOAL} times that of a tenth. ", end="")
    sys.exit("Missed: " + "; ".join(misses) if misses else print("It is, and every record arrived."))


def compared(kinds: Iterable[Callable[[int], Large]], count: int) -> Iterable[str]:
    """Read a tenth, then the whole; print the row of the whole, and yield what it misses."""
    for kind in kinds:
        small, large = kind(count // 10), kind(count)
        with SiteProcess(small.sizes) as site:
            tenth = measure(READERS[CONNECTOR], small, site)
        if tenth.failure:
            yield f"{small.title}: {tenth.failure}"
        with SiteProcess(large.sizes) as site:
            yield from _row(large, site, WORKERS, tenth.memory)


def _row(workload: Large, site: SiteProcess, workers: int, tenth: float = 0.0) -> Iterable[str]:
    """Read, print the row, and yield what is missed."""
    run = measure(READERS[CONNECTOR], replace(workload, workers=workers), site)
    before = f"{tenth:.0f} MB | {run.memory / tenth:.2f}" if tenth else " | "
    counts = f"{workers} | {run.records:,} | {run.requests:,}"
    print(f"| {workload.title} | {counts} | {run.memory:.0f} MB ", end="")
    print(f"| {before} | {run.cpu:.0f} s | {run.wall:.0f} s |", flush=True)
    if run.failure:
        yield f"{workload.title} with {workers} workers: {run.failure}"
    if tenth and run.memory > GOAL * tenth:
        yield f"{workload.title}: {run.memory / tenth:.2f} times the memory"


def _bodiless(title: str, pages: int, stream: str, brings: int, **site: int) -> Large:
    return Large(title, {}, pages, 1, site=site, bodies=False, streams=(stream,), brings=brings)
