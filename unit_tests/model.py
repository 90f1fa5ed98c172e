"""Random sequences of changes to a site and of syncs, and what must be true of the warehouse after each of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from fake_confluence import Server, generate
from unit_tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fake_confluence import Request

KINDS = {"pages": ("page_index", "deletions"), "blog_posts": ("blog_post_index", "post_deletions")}
STREAMS = ("space", "pages", "page_index", "blog_posts", "blog_post_index")
CONTENT = [*["edit"] * 4, *["add"] * 2, *["move"] * 3, "archive", "trash", "restore", "purge"]
PLACES = ["add_space", *["archive_space"] * 3, "hide_space", "show_space"]
SECONDS = [0.0, 0.5, 599.0, 3600.0, 90000.0]
FAILURES = [r"/pages\?.*trashed", r"/pages\?.*body-format", r"/blogposts\?", r"/spaces\?"]


class Change(NamedTuple):
    """A change to the site: its kind, what it changes, and how many seconds later it happens."""

    kind: str
    n: int
    collection: str
    seconds: float


class Sync(NamedTuple):
    """A sync: the changes before its n-th request, how much of it arrives, what fails, how often it is applied."""

    during: tuple[tuple[int, Change], ...] = ()
    share: float = 1.0
    failure: tuple[str, int] | None = None
    applied: int = 1


def sequence(seed: int) -> list[Change | Sync]:
    """Return a random sequence that begins with a sync."""
    rng = random.Random(seed)

    def change() -> Change:
        collection = rng.choice(["pages", "pages", "blog_posts"])
        return Change(rng.choice([*CONTENT, *PLACES]), rng.randint(0, 50), collection, rng.choice(SECONDS))

    def sync() -> Sync:
        during = sorted((rng.randint(5, 30), change()) for _ in range(rng.choice([0, 2, 4, 8])))
        share = rng.random() if rng.random() < 0.2 else 1.0
        failure = (rng.choice(FAILURES), rng.randint(0, 3)) if rng.random() < 0.2 else None
        return Sync(tuple(during), share, failure, rng.choice([1, 1, 2]))

    steps: list[Change | Sync] = [sync()]
    for _ in range(rng.randint(4, 7)):
        steps += [*(change() for _ in range(rng.randint(0, 3))), sync()]
    return steps


class World:
    """A site, its warehouse, and what must be true of the two."""

    def __init__(self, server: Server) -> None:
        self.server, self.site = server, server.site
        self.warehouse = Warehouse(server, *STREAMS, _max_retries=0)
        self.hidden: list[
            dict[str, Any]
        ] = []  # spaces, and their posts: the list of posts is not limited to spaces
        # The ids that existed, at a fixed place, during the whole of the last two complete reads of their index.
        self.present: dict[str, list[set[str]]] = {kind: [set(), set()] for kind in KINDS}
        self.known: dict[str, set[str]] = {kind: set() for kind in KINDS}

    def living(self, collection: str) -> dict[str, tuple[Any, ...]]:
        """Return what a warehouse should show: version, status, space and parent of each visible page or post."""
        spaces = {space["id"] for space in self.site.records("spaces")}
        return {
            r["id"]: (r["version"]["number"], r["status"], r["spaceId"], r.get("parentId"))
            for r in self.site.records(collection)
            if r["status"] in ("current", "archived") and r["spaceId"] in spaces
        }

    # Changes

    def pick(self, n: int, collection: str, *statuses: str) -> dict[str, Any] | None:
        found = [r for r in self.site.records(collection) if r["status"] in statuses]
        return found[n % len(found)] if found else None

    def change(self, change: Change) -> set[str]:
        """Change the site, and return the ids whose place a list that is being read can miss."""
        kind, n, collection, seconds = change
        at = self.site.tick(seconds)
        if kind in PLACES:
            return self.change_place(kind, n, at)
        statuses = {"edit": ("current", "archived"), "restore": ("trashed", "archived")}
        record = self.pick(n, collection, *statuses.get(kind, ("current",)))
        spaces = [*self.site.records("spaces"), *self.hidden]
        if kind == "add":
            space = self.site.records("spaces")[n % len(self.site.records("spaces"))]
            add = self.site.add_page if collection == "pages" else self.site.add_blog_post
            add("New", space_id=space["id"], at=at)
        elif record is None:
            pass
        elif kind == "edit":
            self.site.edit(collection, record["id"], at=at)
        elif kind == "trash":
            self.site.set_status(collection, record["id"], "trashed")
        elif kind == "restore":
            self.site.set_status(collection, record["id"], "current")
        elif kind == "purge" and len(self.site.records(collection)) > 3:
            self.site.remove(collection, record["id"])
        elif kind == "archive" and collection == "pages":
            self.site.archive_page(record["id"])
        elif kind == "move" and collection == "pages":
            parent = self.pick(n // 3, "pages", "current")
            record.update(spaceId=spaces[n % len(spaces)]["id"], parentId=parent and parent["id"])
            self.site.changed("pages")
            return {record["id"]}
        return set()

    def change_place(self, kind: str, n: int, at: str) -> set[str]:
        spaces = self.site.records("spaces")
        space = spaces[n % len(spaces)]
        if kind == "add_space" and len(spaces) < 8:
            key = f"N{self.site.new_id()}"
            self.site.add_space(key, key=key, at=at)
        elif kind == "archive_space":
            self.site.set_status(
                "spaces", space["id"], "current" if space["status"] == "archived" else "archived"
            )
        elif kind == "hide_space" and len(spaces) > 1:
            posts = [post for post in self.site.records("blog_posts") if post["spaceId"] == space["id"]]
            for name, records in (("spaces", [space]), ("blog_posts", posts)):
                for record in records:
                    self.site.remove(name, record["id"])
            self.hidden.append({**space, "_posts": posts})
        elif kind == "show_space" and self.hidden:
            space = self.hidden.pop(n % len(self.hidden))
            for post in space.pop("_posts"):
                self.site.add("blog_posts", post)
            self.site.add("spaces", space)
        return {page["id"] for page in self.site.records("pages") if page["spaceId"] == space["id"]}

    # Syncs

    def sync(self, sync: Sync) -> None:
        present = {kind: set(self.living(kind)) for kind in KINDS}
        due, requests = list(sync.during), 0

        def change(_: Request) -> None:
            nonlocal requests
            requests += 1
            while due and due[0][0] <= requests:
                missed = self.change(due.pop(0)[1])
                for kind in KINDS:
                    present[kind] &= self.living(kind).keys() - missed

        self.server.before("/wiki/api/v2", change)
        if sync.failure:
            self.server.fail(sync.failure[0], after=sync.failure[1], times=None, status=500)
        self.warehouse.sync(share=sync.share)
        self.server.heal()
        complete = dict(self.warehouse.rows("SELECT stream, status = 'COMPLETE' FROM _syncs"))
        for kind, (index, _) in KINDS.items():
            if complete[index]:
                self.present[kind] = [present[kind], self.present[kind][0]]
        for _ in range(sync.applied):
            self.warehouse.apply()
            self.check(complete)

    def check(self, complete: dict[str, bool]) -> None:
        """Check that nothing is lost, and that what exists is not deleted."""
        for kind, (index, view) in KINDS.items():
            last, before = self.present[kind]
            if complete[index]:
                listed = {found for (found,) in self.warehouse.rows(f"SELECT id FROM {index}")}
                assert last <= listed, f"{index} lacks {last - listed}"
            rows = {
                row: (now, deleted)
                for row, now, deleted in self.warehouse.rows(f"SELECT id, now, deleted FROM {view}")
            }
            for found in (last | before) & self.living(kind).keys():
                now, deleted = rows[found]
                if found in last or now not in ("trashed", "deleted"):  # trashed and restored since `before`
                    assert not deleted, f"{kind} {found} exists and is {now}"
            ids = {found for (found,) in self.warehouse.rows(f"SELECT id FROM {kind}")}
            assert ids >= self.known[kind], f"{kind} lost {self.known[kind] - ids}"
            self.known[kind] = ids

    def shown(self, kind: str) -> dict[str, tuple[Any, ...]]:
        """Return what the warehouse shows: its view, which must agree with its table."""
        place = "status, spaceId, parentId" if kind == "pages" else "status, spaceId, NULL"
        number = "(version ->> 'number')::INT"
        table = f"SELECT id, {number}, {place} FROM {kind} WHERE status IN ('current', 'archived')"
        view = f"SELECT id, version, {place} FROM living_{kind}"
        in_table, in_view = (
            {row[0]: row[1:] for row in self.warehouse.rows(query)} for query in (table, view)
        )
        assert in_table == in_view, kind
        return in_view

    def settle(self) -> None:
        """Sync twice without changes: what the warehouse shows then equals the site."""
        self.sync(Sync())
        self.sync(Sync())
        for kind, (_, view) in KINDS.items():
            now, shown, living = self.warehouse.now(view), self.shown(kind), self.living(kind)
            # Confluence gives some changes no new timestamp: these pages are named.
            missing, outdated = (
                {i for i, what in now.items() if what == word} for word in ("missing", "outdated")
            )
            assert shown.keys() | missing == living.keys(), f"{kind} {shown.keys() ^ living.keys()}"
            for found, values in shown.items():
                assert values[1:] == living[found][1:], f"{kind} {found}"
                assert found in outdated or values == living[found], f"{kind} {found}"
            forget = "forget" if kind == "pages" else "forget_posts"
            forgotten = {
                i for (i,) in self.warehouse.rows(f"SELECT id FROM {forget} WHERE now <> 'archived'")
            }
            assert not forgotten & living.keys(), kind
        self.warehouse.sync(full=True)
        self.warehouse.apply()
        for kind in KINDS:
            assert self.shown(kind) == self.living(kind), kind
        self.warehouse.erase()
        for kind, (index, _) in KINDS.items():
            assert (
                self.warehouse.rows(f"SELECT id FROM {kind} WHERE id NOT IN (SELECT id FROM {index})") == []
            ), kind
            assert self.shown(kind) == self.living(kind), kind


def play(steps: Iterable[Change | Sync]) -> None:
    """Play a sequence on a small site.

    Raises:
        AssertionError: Something that exists was deleted or lost, or the warehouse differs from the site.

    """
    with Server(generate(pages=20, spaces=4, blog_posts=8, body_bytes=10), max_page=3) as server:
        world = World(server)
        for step in steps:
            if isinstance(step, Sync):
                world.sync(step)
            else:
                world.change(step)
        world.settle()
