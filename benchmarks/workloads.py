"""The workloads: the sites, their latency, and how often each reader reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.readers import BARE, CONNECTOR, DLT, DLT_SPACES, IMPORT, PLAIN, UPSTREAM
from common.restrictions import BULK, EACH

BODY_BYTES = 4_000
TENTH, SMALL = ", a tenth", ", small"
MB = 1_000_000
PEERS = dict.fromkeys((CONNECTOR, DLT, DLT_SPACES, BARE), 3)
ONCE = dict.fromkeys((CONNECTOR, DLT, DLT_SPACES), 1)
OURS_ONCE = {CONNECTOR: 1}
RESTRICTED = {"blog_posts": 2_000, "tree_items": 500, "restricted": 20, "groups": 10, "body_bytes": 0}
SCOPED = {"comments": 20_000, "labels": 50, "body_bytes": 0}
START = {CONNECTOR: 5, IMPORT: 5}


@dataclass(frozen=True)
class Workload:
    """One site to read, and how."""

    title: str
    rounds: dict[str, int]  # the number of runs of each reader, in turns with the others
    pages: int = 20_000
    spaces: int = 200
    site: dict[str, Any] = field(default_factory=dict)  # additional arguments of `generate`
    latency: float = 0.0  # seconds before each response
    rate: int = 0  # requests per second that the site allows; 0 for no limit
    bodies: bool = True
    settings: dict[str, Any] = field(default_factory=dict)  # of the connector
    command: str = "read"
    streams: tuple[str, ...] = ("pages",)
    expected: int | None = None  # the correct number of records; by default that of the pages
    again: bool = False  # the site was read before and has not changed; any number of records is correct
    parts: int = 1  # so many processes read at once, each a part of the site

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `generate` for this site."""
        return {"pages": self.pages, "spaces": self.spaces, "body_bytes": BODY_BYTES, **self.site}

    @property
    def records(self) -> int | None:
        """The correct number of records; None for any number."""
        if self.again:
            return None
        if BULK in self.streams:
            content = self.pages + int(self.site["blog_posts"]) + int(self.site["tree_items"])
            # The search lacks archived pages, one in fifty; otherwise there is a record for each operation.
            return content - self.pages // 50 + (2 * content if len(self.streams) > 1 else 0)
        return self.pages + len(self.site.get("files", ())) if self.expected is None else self.expected

    def quick(self) -> Workload:
        """Return a tenth of the workload, with one run of each reader except the slowest."""
        most = max(self.rounds.values())
        rounds = {name: 1 for name, rounds in self.rounds.items() if rounds == most}
        site = {name: size[::10] if name == "files" else size for name, size in self.site.items()}
        pages, spaces = max(200, self.pages // 10), -(-self.spaces // 2)
        return replace(self, pages=pages, spaces=spaces, rounds=rounds, site=site)


def in_parts(pages: int) -> dict[str, Workload]:
    """Return reads of a site by one, two and four processes: it has a file of 100 KB for every ten pages."""
    site = {"body_bytes": 0, "files": [100_000] * (pages // 10)}
    titles = {1: "Pages and files: one connection", 2: "The same in two parts", 4: "The same in four parts"}
    return {
        f"parts-{n}": Workload(
            title,
            OURS_ONCE,
            pages,
            site=site,
            latency=0.05,
            bodies=False,
            streams=("pages", "attachment_files"),
            parts=n,
        )
        for n, title in titles.items()
    }


# Workloads of the same site are neighbours: the site is generated once.
WORKLOADS = {
    "latency-0": Workload("No latency", {**PEERS, PLAIN: 3}),
    "latency-50": Workload("50 ms a response", PEERS, latency=0.05),
    "latency-200": Workload("200 ms a response", PEERS, latency=0.2),
    "latency-800": Workload("800 ms a response", ONCE, latency=0.8),
    **{
        f"workers-{n}": Workload(
            f"200 ms a response, {n} workers", OURS_ONCE, latency=0.2, settings={"num_workers": n}
        )
        for n in (2, 5, 25)
    },
    "no-bodies": Workload("Without bodies", {**PEERS, UPSTREAM: 1}, latency=0.05, bodies=False),
    "rate-limit": Workload(
        "A site that allows 5 requests a second", {CONNECTOR: 2, DLT_SPACES: 1}, latency=0.05, rate=5
    ),
    "rate-parts": Workload(
        "Four parts of a site that allows 50 requests a second",
        OURS_ONCE,
        pages=12_000,
        site={"body_bytes": 0},
        latency=0.05,
        rate=50,
        bodies=False,
        streams=("page_views",),
        parts=4,
    ),
    "small": Workload(
        "A small site: one space",
        {**PEERS, UPSTREAM: 3},
        pages=2_000,
        spaces=1,
        latency=0.05,
    ),
    "start-spec": Workload("Start: spec", START, 2_000, 1, bodies=False, command="spec", expected=1),
    "start-read": Workload(
        "Start: read the one space", START, 2_000, 1, bodies=False, streams=("space",), expected=1
    ),
    "spaces-1": Workload("One space", ONCE, spaces=1, latency=0.05),
    "spaces-20": Workload("20 spaces", ONCE, spaces=20, latency=0.05),
    "spaces-2000": Workload("2,000 spaces", ONCE, spaces=2_000, latency=0.05),
    "skewed": Workload(
        "200 spaces, 80 % of the pages in one of them", ONCE, site={"skew": 0.8}, latency=0.05
    ),
    "pages-2000": Workload("A tenth of the pages", {**PEERS, PLAIN: 3}, pages=2_000),
    "pages-200000": Workload("Ten times the pages", {CONNECTOR: 1, DLT: 1, BARE: 1}, pages=200_000),
    "unchanged": Workload(
        "An incremental read of a site that has not changed",
        {CONNECTOR: 3},
        pages=100_000,
        spaces=500,
        site={"blog_posts": 5_000, "comments": 5_000, "body_bytes": 0},
        latency=0.05,
        bodies=False,
        streams=("pages", "blog_posts", "footer_comments"),
        again=True,
    ),
    "one-space": Workload(
        "One small space of a large site, with comments and labels",
        OURS_ONCE,
        pages=100_000,
        spaces=500,
        site=SCOPED,
        bodies=False,
        settings={"space_keys": ["S7"]},
        streams=("pages", "page_index", "footer_comments", "labels", "page_labels"),
        expected=2 * 200 + 40 + 1 + 200,
    ),
    "all-but-one": Workload(
        "All spaces but one, comments only",
        OURS_ONCE,
        pages=100_000,
        spaces=500,
        site=SCOPED,
        bodies=False,
        settings={"exclude_space_keys": ["S7"]},
        streams=("footer_comments",),
        expected=20_000 - 40,
    ),
    "restrictions": Workload(
        "Restrictions of 22,500 pages, posts and tree items: in bulk",
        OURS_ONCE,
        site=RESTRICTED,
        latency=0.05,
        bodies=False,
        streams=(BULK,),
    ),
    "restrictions-each": Workload(
        "The same in bulk and one by one, compared",
        OURS_ONCE,
        site=RESTRICTED,
        latency=0.05,
        bodies=False,
        streams=(BULK, *EACH),
    ),
    **in_parts(20_000),
}


def large(count: int) -> dict[str, Workload]:
    """Return reads of this many records: long lists, parents with many children, one request for each page."""

    def read(title: str, stream: str, *, pages: int = count, expected: int = count, **more: int) -> Workload:
        site = {"spaces": 1, "body_bytes": 0, **more}
        return Workload(
            title, OURS_ONCE, pages, site=site, bodies=False, streams=(stream,), expected=expected
        )

    many = f"{count:,}"
    views = read(f"Views of {many} pages", "page_views")
    return {
        "pages": Workload(f"{many} pages in 200 spaces", OURS_ONCE, count),
        "versions-of-one": read(
            f"{many} versions of one page", "page_versions", pages=1, versions_per_page=count
        ),
        "labels-of-one": read(
            f"{many} labels on one page", "page_labels", pages=1, labels=count, labels_per_page=count
        ),
        "pages-of-one": read(f"One label on {many} pages", "page_labels", labels=1),
        **{
            f"views-{n}": replace(views, title=f"{views.title}, {n} workers", settings={"num_workers": n})
            for n in (2, 10, 25)
        },
        "versions": read(
            f"Versions of {many} pages", "page_versions", expected=2 * count, versions_per_page=2
        ),
    }


def scale(count: int) -> dict[str, Workload]:
    """Return large reads, and a tenth of each read."""
    tenths = large(count // 10)
    return {
        f"{name}{part}": read
        for part, reads in (("", large(count)), (TENTH, tenths))
        for name, read in reads.items()
    }


def files(mb: int) -> dict[str, Workload]:
    """Return downloads of one file of this size, and of four files of a third; and the same with small files."""

    def read(title: str, sizes: list[int]) -> Workload:
        return Workload(
            title,
            OURS_ONCE,
            pages=1,
            spaces=1,
            site={"body_bytes": 0, "files": sizes},
            bodies=False,
            settings={"max_file_mb": 1500},
            streams=("attachment_files",),
            expected=len(sizes),
        )

    many = {"file": [mb * MB], "files": [mb * MB // 3] * 4}
    return {
        name + part: read(f"Files: {len(sizes)} of {sizes[0] / MB:.0f} MB{part}", given)
        for name, sizes in many.items()
        for part, given in ((SMALL, [1_000] * len(sizes)), ("", sizes))
    }
