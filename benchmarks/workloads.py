"""What is read, and by whom: the sites, how slowly they answer, and how often each reader runs.

Not every reader meets every site. All six meet the small one. LlamaIndex's reader and upstream's manifest
take so long for 20,000 pages that they do it once. At 800 ms, and where only the number of spaces changes,
one round tells. Growth is seen without latency, where nothing but work counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, LLAMAINDEX, READERS, UPSTREAM

PEERS = {CONNECTOR: 3, DLT: 3, DLT_SPACES: 3, BARE: 3}
ONCE = {CONNECTOR: 1, DLT: 1, DLT_SPACES: 1}
OURS, OURS_ONCE = {CONNECTOR: 3}, {CONNECTOR: 1}


@dataclass(frozen=True)
class Workload:
    """One thing to read.

    Attributes:
        title: What it is about, for a heading.
        rounds: How often each reader runs, in turns with the others.
        pages: Pages of the site.
        spaces: Spaces of the site.
        skew: The part of the pages (0 to 1) that is in one space.
        site: What `generate` makes besides.
        latency: Seconds that each answer takes.
        rate: Requests a second that the site allows; 0 for any number.
        bodies: Whether the pages are read with their bodies.
        workers: How many requests the connector has under way; 0 for its default.
        command: spec, check or read.
        streams: What is read; every stream where none is named.
        again: Whether the site was read before, and has not changed.
    """

    title: str
    rounds: dict[str, int]
    pages: int = 20_000
    spaces: int = 200
    skew: float = 0.0
    site: dict[str, int] = field(default_factory=dict)
    latency: float = 0.0
    rate: int = 0
    bodies: bool = True
    workers: int = 0
    command: str = "read"
    streams: tuple[str, ...] = ("pages",)
    again: bool = False

    @property
    def sizes(self) -> dict[str, Any]:
        """What `generate` takes to make the site."""
        known = {"pages": self.pages, "spaces": self.spaces, "skew": self.skew, "body_bytes": BODY_BYTES}
        return {**known, **self.site}

    @property
    def records(self) -> int | None:
        """How many records there must be; None where that is not known beforehand."""
        if self.command != "read":
            return 1
        if self.again:
            return None
        return self.pages if self.streams else _everything(self.pages, self.spaces, **self.site)

    def quick(self) -> Workload:
        """Return the same in small, each reader once, without those that are too slow for as many rounds."""
        most = max(self.rounds.values())
        rounds = {name: 1 for name, rounds in self.rounds.items() if rounds == most}
        return replace(self, pages=max(200, self.pages // 10), spaces=ceil(self.spaces / 2), rounds=rounds)


BODY_BYTES = 6_000
EVERYTHING = {
    "blog_posts": 50,
    "groups": 10,
    "users": 100,
    "audit_events": 500,
    "labels": 20,
    "comments": 100,
    "versions_per_page": 2,
}


def _everything(pages: int, spaces: int, **more: int) -> int:
    """Count the records that all streams together have of a site with EVERYTHING in it."""
    # Itself, in the index, rendered, two versions, a label, views, viewers, who may read and who may edit it.
    of_pages = 10 * pages
    of_posts = 7 * more["blog_posts"]  # the same without versions and label
    once = ("groups", "audit_events", "labels", "comments")
    return of_pages + of_posts + spaces + 2 * more["users"] + sum(more[kind] for kind in once)


# Workloads of the same site stand together: the site is made once.
WORKLOADS = {
    "latency-0": Workload("No latency: nothing but work", {**PEERS, LLAMAINDEX: 1}),
    "latency-50": Workload("50 ms an answer", {**PEERS, LLAMAINDEX: 1}, latency=0.05),
    "latency-200": Workload("200 ms an answer", PEERS, latency=0.2),
    "latency-800": Workload("800 ms an answer", ONCE, latency=0.8),
    "workers-2": Workload("200 ms an answer, 2 workers", OURS_ONCE, latency=0.2, workers=2),
    "workers-5": Workload("200 ms an answer, 5 workers", OURS_ONCE, latency=0.2, workers=5),
    "workers-25": Workload("200 ms an answer, 25 workers", OURS_ONCE, latency=0.2, workers=25),
    "no-bodies": Workload("Without bodies", {**PEERS, UPSTREAM: 1}, latency=0.05, bodies=False),
    "rate-limit": Workload(
        "A site that allows 5 requests a second", {CONNECTOR: 2, DLT_SPACES: 1}, latency=0.05, rate=5
    ),
    "unchanged": Workload(
        "An incremental read of a site that did not change", OURS, latency=0.05, again=True
    ),
    "small": Workload(
        "A small site: one space",
        dict.fromkeys(READERS, 3),
        pages=2_000,
        spaces=1,
        latency=0.05,
    ),
    "start-spec": Workload(
        "Start-up: spec", {CONNECTOR: 5, UPSTREAM: 5}, pages=2_000, spaces=1, command="spec"
    ),
    "start-check": Workload(
        "Start-up: check", {CONNECTOR: 5, UPSTREAM: 5}, pages=2_000, spaces=1, command="check"
    ),
    "spaces-1": Workload("One space", ONCE, spaces=1, latency=0.05),
    "spaces-20": Workload("20 spaces", ONCE, spaces=20, latency=0.05),
    "spaces-2000": Workload("2,000 spaces", ONCE, spaces=2_000, latency=0.05),
    "skewed": Workload("200 spaces, 80 % of the pages in one of them", ONCE, skew=0.8, latency=0.05),
    "pages-2000": Workload("A tenth of the pages", PEERS, pages=2_000),
    "pages-200000": Workload("Ten times the pages", {CONNECTOR: 1, DLT: 1, BARE: 1}, pages=200_000),
    "all-streams": Workload(
        "All streams at once", OURS, pages=300, spaces=10, latency=0.05, streams=(), site=EVERYTHING
    ),
}
