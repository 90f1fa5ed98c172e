"""Deletions on a site that is read in parts: what one part lacks, another one can have."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import ROOT, STREAMS, config_for
from fake_confluence import Server
from tools import load
from tools.combine import combine
from tools.combine import main as combine_files
from tools.parts import main as merge_files
from tools.parts import merge, state_in
from tools.recipes import create_views
from unit_tests.warehouse import Warehouse, small, without_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_confluence import Request, Site

DAY = 86_400.0
GONE = "purged, hidden or moved out"
INDEXES = {"pages": "page_index", "blog_posts": "blog_post_index"}
BELOW = ("footer_comments", "attachments")
OF_PAGES = ("space", "pages", "page_index")
READ = ("space", *INDEXES, *INDEXES.values(), *BELOW)
DELETIONS = {
    "pages": "deletions",
    "blog_posts": "post_deletions",
    "footer_comments": "footer_comment_deletions",
    "attachments": "attachment_deletions",
}


class Part(Warehouse):
    """The database of one part, which continues from a state."""

    def __init__(self, whole: Parts, number: int, count: int, state: list[dict[str, Any]]) -> None:
        super().__init__(whole.server, *whole.streams, part=f"{number}/{count}", _max_retries=0)
        self.name, self.merged, self.known = f"part_{number}_of_{count}", state, set(whole.streams)
        whole.connection.execute(f"DETACH DATABASE IF EXISTS {self.name}")
        whole.connection.execute(f"ATTACH ':memory:' AS {self.name}")
        self.connection = whole.connection.cursor()
        self.connection.execute(f"USE {self.name}")

    def end(self) -> list[dict[str, Any]]:
        """Return the state with which this part ends."""
        return state_in(self.connection)


class Parts(Warehouse):
    """The database of all parts."""

    def __init__(self, server: Server, count: int, *streams: str) -> None:
        super().__init__(server, *streams or READ)
        self.parts = [Part(self, n, count, []) for n in range(1, count + 1)]

    def split(self, count: int) -> None:
        """Go on with another number of parts, in new databases."""
        state = merge([part.end() for part in self.parts], count)
        self.parts = [Part(self, n, count, state) for n in range(1, count + 1)]

    def combine(self, *parts: Part) -> dict[str, str]:
        """Combine the databases, and apply the deletions; return what became of the pages that are not current."""
        combine(self.connection, [part.name for part in parts or self.parts])
        create_views(self.connection)
        self.apply()
        return self.now()

    def round(self, **how: Any) -> dict[str, str]:
        """Sync all parts, and combine."""
        for part in self.parts:
            part.sync(**how)
        return self.combine()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(small(pages=48, blog_posts=24, comments=24, files=[1] * 24)) as running:
        yield running


def move(site: Site, page: str, part: int) -> str:
    """Move a page to a space of this one of two parts."""
    space = next(s["id"] for s in site.records("spaces") if int(s["id"]) % 2 == part - 1)
    site.get("pages", page)["spaceId"] = space
    site.changed("pages")
    return page


def page_of(site: Site, part: int) -> str:
    return str(next(p["id"] for p in site.records("pages") if int(p["spaceId"]) % 2 == part - 1))


def test_a_page_that_moves_to_a_part_that_was_read_is_not_deleted(server: Server) -> None:
    parts = Parts(server, 2, *OF_PAGES)
    first, second = parts.parts
    assert parts.round() == {}
    page = page_of(server.site, 2)
    first.sync()
    move(server.site, page, 1)
    second.sync()
    assert parts.combine() == {page: "absent"}
    for _ in range(3):  # the first part does not run again
        second.sync()
        assert set(parts.combine().values()) == {"unknown"}
        parts.erase()
        assert page in parts.ids("pages")
    first.sync()
    assert parts.combine() == {}
    assert place(parts, page) == [server.site.get("pages", page)["spaceId"]]


def place(parts: Parts, page: str) -> list[str]:
    """Return the space of each row of a page."""
    return [space for (space,) in parts.rows(f"SELECT spaceId FROM pages WHERE id = '{page}'")]


@pytest.mark.parametrize("to", [1, 2])
def test_a_page_that_two_parts_have_is_the_one_that_was_read_last(server: Server, to: int) -> None:
    parts = Parts(server, 2, *OF_PAGES)
    parts.round()
    page = move(server.site, page_of(server.site, 3 - to), to)
    server.site.tick(DAY)
    server.site.edit_page(page, title="Moved")
    parts.parts[to - 1].sync()
    parts.combine()
    for stream in ("pages", "page_index"):
        assert parts.rows(f"SELECT title FROM {stream} WHERE id = '{page}'") == [("Moved",)]
    assert place(parts, page) == [server.site.get("pages", page)["spaceId"]]
    assert parts.round() == {}


def test_what_a_part_failed_to_read_again_stays_in_doubt(server: Server) -> None:
    parts = Parts(server, 2, *OF_PAGES, "space_permissions")
    parts.round()
    page = move(server.site, page_of(server.site, 1), 2)
    parts.parts[1].sync()
    server.fail("/pages|/permissions", times=None, status=500)
    parts.parts[1].sync()
    parts.combine()
    assert parts.rows(f"SELECT {load.READ_AT} FROM page_index WHERE id = '{page}'") == [(None,)]
    finished = "SELECT stream FROM _syncs WHERE status = 'INCOMPLETE' AND finished IS {} NULL"
    assert {*parts.rows(finished.format("NOT"))} == {("page_index",), ("pages",)}
    assert parts.rows(finished.format("")) == [("space_permissions",)]
    told = parts.rows("SELECT stream, status, finished FROM _syncs ORDER BY 1")
    parts.combine()
    assert parts.rows("SELECT stream, status, finished FROM _syncs ORDER BY 1") == told


def test_a_round_that_began_before_the_last_one_ended_is_no_second_absence(server: Server) -> None:
    """Each part is read twice, but one move explains why all four reads lack the page."""
    parts = Parts(server, 2, *OF_PAGES)
    first, second = parts.parts
    parts.round()
    page = page_of(server.site, 2)
    first.sync()
    with first.one_sync() as read:
        read(*OF_PAGES)
        move(server.site, page, 1)
        second.sync()
        assert parts.combine() == {page: "absent"}
    second.sync()
    assert set(parts.combine().values()) == {"unknown"}
    parts.erase()
    assert page in parts.ids("pages")
    assert parts.round() == {}


def test_comments_of_a_page_that_comes_back_before_the_parts_are_combined_are_not_deleted(
    server: Server,
) -> None:
    parts = Parts(server, 2)
    parts.round(full=True)
    site = server.site
    for page in (page_of(site, 1), page_of(site, 2)):
        hidden = site.get("pages", page)
        comments = [c for c in site.records("footer_comments") if c.get("pageId") == page]
        assert comments
        for comment in comments:
            site.remove("footer_comments", comment["id"])
        site.remove("pages", page)
        parts.round(full=True)
        for part in parts.parts:
            part.sync(full=True)
        site.add("pages", hidden)
        for comment in comments:
            site.add("footer_comments", comment)
        parts.parts[int(hidden["spaceId"]) % 2].sync()  # the index, and no old comments
        parts.combine()
        assert parts.now("footer_comment_deletions") == {}
        assert {c["id"] for c in comments} <= parts.ids("footer_comments")
        parts.round(full=True)


def test_without_one_part_nothing_is_deleted(server: Server) -> None:
    parts = Parts(server, 2)
    first, second = parts.parts
    parts.round()
    page = move(server.site, page_of(server.site, 2), 1)
    comment = [c["id"] for c in server.site.records("footer_comments") if int(c["id"]) % 2 == 0][3]
    server.site.remove("footer_comments", comment)
    for how in ("has not run", "has not run", "failed", "failed"):
        second.sync(full=True)
        if how == "failed":
            for listed in ("/pages", "/blogposts", "/footer-comments", "/attachments"):
                server.fail(listed, times=None, status=500)
            first.sync(full=True)
            server.heal()
            parts.combine()
        else:
            parts.combine(second)
        for stream, view in DELETIONS.items():
            assert {"deleted", "absent", GONE} & set(parts.now(view).values()) == set(), stream
        parts.erase()
        assert page in parts.ids("pages")
        assert comment in parts.ids("footer_comments")
    for now in ({comment: "absent"}, {comment: "deleted"}):
        assert parts.round(full=True) == {}
        assert parts.now("footer_comment_deletions") == now
    parts.erase()
    parts.combine()  # the part still has the row
    assert comment not in parts.ids("footer_comments")


class Changes:
    """Deletions, moves and edits of pages, posts, comments and attachments: one for every third record."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site, self.rng, self.gone = site, rng, {name: set[str]() for name in DELETIONS}
        self.moved = set[str]()
        # A page moves once only: it must not be missing from two rounds.
        self.left = [
            (name, record["id"], ("delete", "move", "edit")[n % 3])
            for name in DELETIONS
            for n, record in enumerate(site.records(name)[::3])
        ]
        rng.shuffle(self.left)

    def __call__(self) -> None:
        """Change the next record, if it still exists."""
        if not self.left:
            return
        name, record, kind = self.left.pop()
        with self.site.lock:
            if record in self.gone[name]:
                return
            if kind == "delete":
                self.remove(name, record)
            elif kind == "move" and name in INDEXES:
                self.site.get(name, record)["spaceId"] = self.rng.choice(self.site.records("spaces"))["id"]
                self.site.changed(name)
                self.moved.add(record)
            else:
                self.site.tick(DAY)
                self.site.edit(name, record)

    def remove(self, name: str, record: str) -> None:
        """Remove a record, and what is below it."""
        field = {"pages": "pageId", "blog_posts": "blogPostId"}.get(name)
        for below in BELOW:
            for child in [r["id"] for r in self.site.records(below) if field and r.get(field) == record]:
                self.remove(below, child)
        self.site.remove(name, record)
        self.gone[name].add(record)


def alive(site: Site, name: str) -> set[str]:
    return {record["id"] for record in site.records(name)}


@pytest.mark.parametrize("seed", range(2))
def test_only_what_was_deleted_is_erased_while_the_number_of_parts_changes(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    parts, change = Parts(server, 8), Changes(server.site, rng)
    parts.round(full=True)
    known = {name: parts.ids(name) for name in DELETIONS}
    for count in (8, 4, 4, 1):
        if count != len(parts.parts):
            parts.split(count)
        for part in parts.parts:
            server.before("", at(rng.randrange(1, 20), change))
            if rng.random() < 0.15:
                server.fail(rng.choice(["/pages", "/blogposts", "/attachments"]), times=2, status=500)
            part.sync(full=rng.random() < 0.7)
            server.heal()
            change()
        parts.combine()
        parts.erase()
        for name in DELETIONS:
            erased = known[name] - parts.ids(name)
            assert erased <= change.gone[name], f"{erased - change.gone[name]} of {name} live"
    one = Warehouse(server, *READ)
    one.sync()
    parts.round()  # what a part failed to read
    # A page that moved without a new version keeps its old address until it is read again.
    differ = differences(parts, one)
    assert {(it, column) for it, column in differ if it not in change.moved or column != "_links"} == set()
    for _ in range(2):
        parts.round(full=True)
    parts.erase()
    assert all(change.gone.values())
    for name in READ:
        assert whole_rows(parts, name) == whole_rows(one, name)
    for name in DELETIONS:
        assert parts.ids(name) == alive(server.site, name)


def differences(parts: Parts, one: Warehouse) -> set[tuple[str, str]]:
    """Return the id and column of each value of one connection that the parts together do not have."""
    return {
        (it, column)
        for name in DELETIONS
        for found in [whole_rows(parts, name)]
        for it, row in whole_rows(one, name).items()
        for column, value in row.items()
        if found[it][column] != value
    }


def whole_rows(warehouse: Warehouse, name: str) -> dict[str, dict[str, Any]]:
    """Return each row of a table by its id: every declared column."""
    columns = list(STREAMS[name].schema["properties"])
    rows = warehouse.rows(f"SELECT {', '.join(columns)} FROM {name}")
    return {row[columns.index("id")]: dict(zip(columns, row, strict=True)) for row in rows}


def at(number: int, change: Callable[[], None]) -> Callable[[Request], object]:
    """Return what changes the site before one request, the one with this number."""
    requests = itertools.count()
    return lambda _: change() if next(requests) == number else None


def test_the_program_combines_files_and_refuses_those_that_are_not_the_parts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*files: str) -> None:
        monkeypatch.setattr(sys, "argv", ["combine", "all.duckdb", *files])
        combine_files()

    monkeypatch.chdir(tmp_path)
    for part in ("1/2", "2/2"):
        warehouse = Warehouse(server, "space", "pages", part=part)
        warehouse.connection = duckdb.connect(f"{part[0]}.duckdb")
        warehouse.sync()
        warehouse.connection.close()
    command = [sys.executable, "-m", "tools.combine", *(str(tmp_path / f"{n}.duckdb") for n in ("all", 1, 2))]
    subprocess.run(command, cwd=ROOT, check=True)
    with duckdb.connect("all.duckdb") as connection:
        ids = {i for (i,) in connection.execute("SELECT id FROM pages").fetchall()}
        assert ids == alive(server.site, "pages")
        assert connection.execute("SELECT DISTINCT status FROM _syncs").fetchall() == [("COMPLETE",)]
    with pytest.raises(SystemExit, match=r"^There is no 3\.duckdb: sync this part first\.$"):
        run("1.duckdb", "3.duckdb")


def test_a_new_database_continues_from_the_state_of_the_parts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("1/2", "2/2"):
        warehouse = Warehouse(server, "space", "pages", "attachments", part=part)
        warehouse.connection = duckdb.connect(str(tmp_path / f"{part[0]}.duckdb"))
        warehouse.sync()
        warehouse.connection.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["parts", "--into", "1", "1.duckdb", "2.duckdb"])
    merge_files()
    Path("merged.json").write_text(capsys.readouterr().out, encoding="utf-8")
    Path("config.json").write_text(json.dumps(config_for(server, part="1/1")), encoding="utf-8")
    server.site.tick(DAY)
    page = server.site.records("pages")[0]["id"]
    server.site.edit("pages", page)
    monkeypatch.setattr(sys, "argv", ["load", "--state", "merged.json", "config.json", "new.duckdb", "pages"])
    with without_processes():
        load.main()
    with duckdb.connect("new.duckdb") as connection:
        assert (page,) in connection.execute("SELECT id FROM pages").fetchall()
        ((read,),) = connection.execute("SELECT records FROM _syncs WHERE stream = 'pages'").fetchall()
        assert read < 12  # of 48
        syncs = "SELECT stream, status, full_read, finished IS NULL, part FROM _syncs ORDER BY stream"
        assert connection.execute(syncs).fetchall() == [
            ("attachments", "INCOMPLETE", None, True, "1/1"),
            ("pages", "COMPLETE", None, False, "1/1"),
        ]
        connection.execute("ATTACH ':memory:' AS whole; USE whole")
        combine(connection, ["new"])
        assert connection.execute("SELECT stream FROM _syncs").fetchall() == [("pages",)]


def test_a_state_is_refused_for_a_database_that_has_one(server: Server) -> None:
    parts = Parts(server, 1)
    (part,) = parts.parts
    part.sync("pages")
    before, part.merged = part.rows("FROM _syncs"), part.end()
    with pytest.raises(SystemExit, match=r"state of its own, from which it continues. Leave out --state\.$"):
        part.sync("pages")
    assert part.rows("FROM _syncs") == before


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", "[1]", '[{"stream": 1}]', '"pages"', "\0"])
def test_a_file_without_a_state_is_refused(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "merged.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["load", "--state", str(file), "config.json", "new.duckdb"])
    with pytest.raises(SystemExit):
        load.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"{file} has no state. Give the file that tools/parts.py prints.")


def test_what_a_database_that_starts_from_a_state_has_not_read_is_not_absent(server: Server) -> None:
    parts = Parts(server, 2)
    parts.round()
    comment = server.site.records("footer_comments")[5]["id"]
    server.site.remove("footer_comments", comment)
    parts.split(1)
    found = [parts.round() or parts.now("footer_comment_deletions") for _ in range(2)]
    found += [parts.round(full=True) or parts.now("footer_comment_deletions") for _ in range(2)]
    assert found == [{}, {}, {comment: "absent"}, {comment: "deleted"}]


@pytest.mark.parametrize(
    ("given", "words"),
    [(["1/2", "1/4"], "hold 1/2, 1/4"), (["1/2", "1/2"], "1/2, 1/2"), ([""], "whole site")],
)
def test_databases_that_are_not_the_parts_of_one_number_are_refused(given: list[str], words: str) -> None:
    with duckdb.connect() as connection:
        for number, part in enumerate(given):
            connection.execute(f"ATTACH ':memory:' AS p{number}; USE p{number}")
            connection.execute(load.SYNCS)
            row = {
                **load.NOTHING_READ,
                "stream": "pages",
                "state": None,
                "part": part,
                "finished": "2026-01-01",
            }
            connection.execute(load.SYNCED, row)
        connection.execute("USE memory")
        with pytest.raises(SystemExit, match=words):
            combine(connection, [f"p{number}" for number in range(len(given))])
