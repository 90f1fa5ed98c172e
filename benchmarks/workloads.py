"""What is read, and by whom: the sites, how slowly they answer, and how often each reader runs.

Not every reader meets every site. All six meet the small one. LlamaIndex's reader and upstream's manifest
take so long for 20,000 pages that they do it once. At 800 ms, and where only the number of spaces changes,
one round tells. Growth is seen without latency, where nothing but work counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

PEERS = {"connector": 3, "dlt": 3, "dlt_spaces": 3, "bare": 3}
ONCE = {"connector": 1, "dlt": 1, "dlt_spaces": 1}
OURS = {"connector": 3}


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
        return None if self.again or self.streams != ("pages",) else self.pages

    def quick(self) -> Workload:
        """Return the same in small: a tenth of the pages, each reader once."""
        return replace(self, pages=max(200, self.pages // 10), rounds=dict.fromkeys(self.rounds, 1))


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

# Workloads of the same site stand together: the site is made once.
WORKLOADS = {
    "latency-0": Workload("No latency: nothing but work", {**PEERS, "llamaindex": 1}),
    "latency-50": Workload("50 ms an answer", {**PEERS, "llamaindex": 1}, latency=0.05),
    "latency-200": Workload("200 ms an answer", PEERS, latency=0.2),
    "latency-800": Workload("800 ms an answer", ONCE, latency=0.8),
    "no-bodies": Workload("Without bodies", {**PEERS, "upstream": 1}, latency=0.05, bodies=False),
    "rate-limit": Workload(
        "A site that allows 5 requests a second", {"connector": 2, "dlt_spaces": 2}, latency=0.05, rate=5
    ),
    "unchanged": Workload(
        "An incremental read of a site that did not change", OURS, latency=0.05, again=True
    ),
    "small": Workload(
        "A small site: one space",
        dict.fromkeys([*PEERS, "llamaindex", "upstream"], 3),
        pages=2_000,
        spaces=1,
        latency=0.05,
    ),
    "start-spec": Workload(
        "Start-up: spec", {"connector": 5, "upstream": 5}, pages=2_000, spaces=1, command="spec"
    ),
    "start-check": Workload(
        "Start-up: check", {"connector": 5, "upstream": 5}, pages=2_000, spaces=1, command="check"
    ),
    "spaces-1": Workload("One space", ONCE, spaces=1, latency=0.05),
    "spaces-20": Workload("20 spaces", ONCE, spaces=20, latency=0.05),
    "spaces-2000": Workload("2,000 spaces", ONCE, spaces=2_000, latency=0.05),
    "skewed": Workload("200 spaces, 80 % of the pages in one of them", ONCE, skew=0.8, latency=0.05),
    "pages-2000": Workload("A tenth of the pages", PEERS, pages=2_000),
    "pages-200000": Workload(
        "Ten times the pages", dict.fromkeys(["connector", "dlt", "bare"], 1), pages=200_000
    ),
    "all-streams": Workload(
        "All streams at once", OURS, pages=300, spaces=10, latency=0.05, streams=(), site=EVERYTHING
    ),
}
