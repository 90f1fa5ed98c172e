"""Parts of a site: together they read what one connection reads, each record once."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from common.connector import ROOT, STREAMS, Output, config_for, configured, connector, key_of
from fake_confluence import Request, Server, Site, company, generate
from fake_confluence.site import milliseconds
from source_confluence.source import MANIFEST
from tools.parts import merge
from unit_tests.few_streams import few_streams, manifest_of, sync
from unit_tests.runners import with_the_declarative_runner
from unit_tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Config = dict[str, Any]
DAY = 86400.0
WITH_CURSOR = [name for name, stream in STREAMS.items() if stream.cursor]
FIRST = [name for name, stream in STREAMS.items() if stream.part == "first"]
every_stream = pytest.mark.parametrize("name", STREAMS)


@every_stream
def test_every_stream_has_a_rule_for_parts(name: str) -> None:
    assert STREAMS[name].part in ("space", "id", "first")


# ---------------------------------------------------------------- The setting


@pytest.mark.parametrize("part", ["0/8", "9/8", "a/b", "2", "2/8/2", "1/0", "-1/8", "1/1000", "2 of 8"])
def test_a_part_that_does_not_exist_is_refused(server: Server, part: str) -> None:
    for command in ("check", "read"):
        output = connector(command, config_for(server, part=part), select=["space"])
        sentence = "part must be the number of a part and the number of parts, such as 2/8 (from 1/8 to 8/8)."
        assert output.exit_code == 1
        assert output.stderr == f"source-confluence: {sentence}\n"
    assert server.requests_to("") == []


@pytest.mark.parametrize("part", [2.8, 2, ["2/8"]])
def test_a_part_that_is_no_text_is_refused(server: Server, part: Any) -> None:
    output = connector("read", config_for(server, part=part), select=["space"])
    assert output.exit_code == 1
    assert output.stderr == "source-confluence: part must be a text.\n"


@pytest.mark.parametrize("part", [" 2 / 8\n", "02/8"])
def test_blanks_in_a_part_are_accepted(server: Server, part: str) -> None:
    output = connector("read", config_for(server, part=part), select=["space"])
    expected = {s["id"] for s in server.site.records("spaces") if int(s["id"]) % 8 == 1}
    if part.startswith("0"):
        assert output.stderr.startswith("source-confluence: part must be")
    else:
        assert {record["id"] for record in output.records["space"]} == expected


@pytest.mark.parametrize("part", ["", None, "1/1"])
def test_an_empty_part_and_the_only_one_are_the_whole_site(server: Server, part: Any) -> None:
    output = connector("read", config_for(server, part=part), select=["space"])
    assert len(output.records["space"]) == len(server.site.records("spaces"))


# ---------------------------------------------------------------- Every stream


@dataclass
class Split:
    """Two reads of a site, the second after changes: by one connection, and by several.

    Attributes:
        whole: The reads of one connection.
        parts: The reads of each of three parts: the first, the last, and one between them.
        requested: The requests of the first read of each part.
    """

    whole: list[Output]
    parts: list[list[Output]]
    requested: list[list[Request]]


COUNT = 3
CHANGED = ("pages", "blog_posts", "attachments", "footer_comments", "inline_comments")


def change(site: Site) -> None:
    """Edit some of everything, and add pages and posts."""
    site.tick(DAY)
    for collection in CHANGED:
        current = [r["id"] for r in site.records(collection) if r["status"] == "current"]
        for record_id in current[::5]:
            site.edit(collection, record_id)
    for space in site.records("spaces")[:4]:
        site.add_page("New page", space_id=space["id"])
        site.add_blog_post("New post", space_id=space["id"])


@pytest.fixture(scope="module")
def split() -> Split:
    """Read every stream, then those with a cursor again."""
    site = company(small=True)
    with Server(site) as server:
        base = everything(server)
        found = Split([first(base)], [], [])
        for part in parts_of(base, COUNT):
            server.log.clear()
            found.parts.append([first(part)])
            found.requested.append(list(server.log))
        change(site)
        for part, reads in zip([base, *parts_of(base, COUNT)], [found.whole, *found.parts], strict=True):
            reads.append(again(part, reads))
    return found


def everything(server: Server) -> Config:
    types = sorted({record["type"] for record in server.site.records("custom_content")})
    return config_for(server, custom_content_types=types)


def parts_of(base: Config, count: int) -> list[Config]:
    return [{**base, "part": f"{number}/{count}"} for number in range(1, count + 1)]


def first(config: Config) -> Output:
    with few_streams(*STREAMS, group_size=25):
        return connector("read", config, select=STREAMS, incremental=True)


def again(config: Config, reads: list[Output]) -> Output:
    with few_streams(*WITH_CURSOR, group_size=25):
        return connector("read", config, select=WITH_CURSOR, state=reads[-1].state, incremental=True)


def rows(*outputs: Output, name: str) -> Counter[str]:
    return Counter(json.dumps(r, sort_keys=True) for output in outputs for r in output.records[name])


@every_stream
def test_the_parts_are_one_read_each_record_once(split: Split, name: str) -> None:
    parts = [reads[0] for reads in split.parts]
    assert {part.statuses[name] for part in parts} == {"COMPLETE"}
    assert split.whole[0].records[name]
    assert rows(*parts, name=name) == rows(split.whole[0], name=name)


@pytest.mark.parametrize("name", WITH_CURSOR)
def test_the_parts_are_one_incremental_read(split: Split, name: str) -> None:
    """Each part looks back from its own newest record, so it can deliver a record that it delivered before."""
    parts = [reads[1] for reads in split.parts]
    assert {part.statuses[name] for part in parts} == {"COMPLETE"}
    found, expected = rows(*parts, name=name), rows(split.whole[1], name=name)
    before = rows(split.whole[0], name=name)
    assert (
        max(Counter(key_of(name, r) for part in parts for r in part.records[name]).values(), default=0) <= 1
    )
    assert expected - before <= found
    assert found - expected <= before
    assert (found - expected).total() <= before.total() / 2


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in FIRST])
def test_the_records_of_a_stream_are_in_several_parts(split: Split, name: str) -> None:
    assert sum(bool(reads[0].records[name]) for reads in split.parts) > 1


def test_the_changes_are_in_several_parts(split: Split) -> None:
    for name in CHANGED:
        assert sum(bool(reads[1].records[name]) for reads in split.parts) > 1
        assert 0 < len(split.whole[1].records[name]) < len(split.whole[0].records[name])


def test_nothing_is_requested_below_another_part(split: Split) -> None:
    for reads, requests in zip(split.parts, split.requested, strict=True):
        own = {record.get("id") for name in STREAMS for record in reads[0].records[name]}
        parents = [re.findall(r"/((?:att)?[0-9]{5,})(?=/|$)", request.path) for request in requests]
        assert {ids[-1] for ids in parents if ids} <= own


@pytest.mark.parametrize("name", FIRST)
def test_a_list_that_cannot_be_split_is_requested_by_part_1_only(split: Split, name: str) -> None:
    (operation,) = STREAMS[name].operations
    first, *others = split.requested
    assert [request for request in first if request.operation == operation.path]
    assert [r for requests in others for r in requests if r.operation == operation.path] == []


def test_a_part_says_what_only_part_1_reads(server: Server, log: io.StringIO) -> None:
    for part in ("2/2", "1/2"):
        output = connector("read", config_for(server, part=part), select=["users", "audit", "space"])
        assert set(output.statuses.values()) == {"COMPLETE"}
        assert [name for name, records in output.records.items() if records] != []
    said = re.findall(r"Part [^\"]+", log.getvalue())
    assert said == ["Part 2/2 has no records of users, audit: part 1 reads them."]


def test_a_part_without_a_space_is_complete() -> None:
    site = generate(pages=4, spaces=1, body_bytes=20)
    with Server(site) as server, few_streams("space", "pages"):
        (space,) = server.site.records("spaces")
        for number in range(1, 4):
            config = config_for(server, part=f"{number}/3")
            assert connector("check", config).connection["status"] == "SUCCEEDED"
            output = connector("read", config, select=["space", "pages"])
            assert output.exit_code == 0
            has_it = int(space["id"]) % 3 == number - 1
            assert [len(output.records[name]) for name in ("space", "pages")] == (
                [1, 4] if has_it else [0, 0]
            )


def test_no_space_at_all_fails_each_part() -> None:
    site = company(small=True)
    site.records("spaces").clear()
    site.changed("spaces")
    with Server(site) as server:
        for part in ("1/2", "2/2"):
            output = connector("read", config_for(server, part=part), select=["pages"])
            assert output.exit_code == 1
            assert "can see no space" in output.stderr


@pytest.mark.parametrize(
    "chosen", [{"space_keys": ["HW", "PEOPLE", "OPS"]}, {"exclude_space_kinds": ["personal"]}]
)
def test_a_part_is_one_of_the_chosen_spaces(server: Server, chosen: Config) -> None:
    names = [
        "space",
        "pages",
        "blog_posts",
        "attachments",
        "footer_comments",
        "labels",
        "page_labels",
        "named_users",
    ]
    base = config_for(server, **chosen)
    with few_streams(*names, group_size=25):
        whole = connector("read", base, select=names)
        parts = [connector("read", part, select=names) for part in parts_of(base, 2)]
    for name in names:
        assert whole.records[name]
        assert rows(*parts, name=name) == rows(whole, name=name)


def test_an_unknown_space_key_fails_each_part(server: Server) -> None:
    for part in ("1/2", "2/2"):
        output = connector("check", config_for(server, part=part, space_keys=["HW", "NOSUCH"]))
        assert "has the key NOSUCH." in output.connection["message"]


@pytest.mark.parametrize("name", ["attachments", "footer_comments"])
def test_changes_of_other_parts_do_not_end_a_list(server: Server, name: str) -> None:
    """The newest pages of the list have no record of this part, and its own changes come later."""
    base = config_for(server, part="2/2", page_size=2)
    first = connector("read", base, select=[name], incremental=True)
    living = [r["id"] for r in server.site.records(name) if r["status"] == "current"]
    others = [it for it in living if int(it.removeprefix("att")) % 2 == 0]
    (own, *_) = [it for it in living if int(it.removeprefix("att")) % 2 == 1]
    server.site.tick(DAY)
    for it in (own, *others[:5]):
        server.site.tick(60)
        server.site.edit(name, it)
    server.log.clear()
    second = connector("read", base, select=[name], state=first.state, incremental=True)
    found = [record["id"] for record in second.records[name]]
    assert found[0] == own
    assert len(found) <= 2  # the newest of before is read again
    assert 3 < len([r for r in server.log if r.values("sort")]) < 10
    server.log.clear()
    third = connector("read", base, select=[name], state=second.state, incremental=True)
    assert len(third.records[name]) <= 1
    assert len([r for r in server.log if r.values("sort")]) < 10


# ---------------------------------------------------------------- The manifest alone


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Output]:
    """Read the first two parts of the same site with the declarative runner, once that of another CDK."""
    parts = []
    with Server(company(small=True)) as server:
        base = everything(server)
        for part, environment in zip(parts_of(base, COUNT), (".venv-builder", ".venv"), strict=False):
            directory: Path = tmp_path_factory.mktemp("runner")
            (directory / "config.json").write_text(json.dumps(part), encoding="utf-8")
            shutil.copy(MANIFEST, directory / "manifest.yaml")
            catalog = {"streams": [configured(name) for name in STREAMS]}
            python = ROOT / environment / "bin" / "python"
            parts.append(with_the_declarative_runner(directory, catalog=catalog, state=None, python=python))
    return parts


@every_stream
def test_the_manifest_alone_reads_the_same_parts(split: Split, alone: list[Output], name: str) -> None:
    for part, (found, *_) in zip(alone, split.parts, strict=False):
        assert part.statuses[name] == "COMPLETE"
        keys = Counter(key_of(name, record) for record in part.records[name])
        assert keys == Counter(key_of(name, record) for record in found.records[name])


# ---------------------------------------------------------------- Another number of parts


class Destination:
    """What several connections have delivered, the newest record of each key, and their states."""

    names: tuple[str, ...] = (
        "pages",
        "blog_posts",
        "attachments",
        "footer_comments",
        "page_versions",
        "footer_comment_versions",
        "audit",
    )

    def __init__(self, server: Server, count: int = 1) -> None:
        self.server, self.count = server, count
        self.states: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.outputs: list[Output] = []

    def sync(self, between: Callable[[], object] = lambda: None) -> int:
        """Read what changed, with changes between the parts; return the number of records."""
        records, self.outputs = 0, []
        for number in range(self.count):
            output = self.read(f"{number + 1}/{self.count}", self.states[number])
            self.states[number] = output.state
            self.outputs.append(output)
            for _ in range(4):
                between()
            for name in self.names:
                records += len(output.records[name])
                self.rows |= {(name, *key_of(name, r)): r for r in output.records[name]}
        return records

    def read(self, part: str, state: list[dict[str, Any]]) -> Output:
        return sync(self.server, *self.names, state=state, part=part, _max_retries=0)

    def split(self, count: int) -> None:
        """Go on with another number of parts."""
        self.states = [merge(self.states, count)] * count
        self.count = count


def site_to_change(**more: int) -> Site:
    sizes = {
        "pages": 24,
        "spaces": 4,
        "blog_posts": 12,
        "comments": 20,
        "audit_events": 10,
        "versions_per_page": 1,
    }
    site = generate(**{**sizes, **more}, files=[1] * 12, body_bytes=20)
    site.collections["footer_comment_versions"] = []
    for comment in site.records("footer_comments"):
        comment["status"] = "current"
    return site


SHARED = ("attachments", "footer_comments")  # lists that the parts share
KINDS = ("pages", "pages", "blog_posts", *SHARED, "page", "post", "space", "event")


def change_one(site: Site, rng: random.Random, kinds: tuple[str, ...]) -> None:
    site.tick(rng.choice([1, 700, DAY]))
    kind = rng.choice(kinds)
    space = rng.choice(site.records("spaces"))["id"]
    if kind == "space":
        space = site.add_space("New", key=f"N{site.new_id()}")["id"]
    if kind == "event":
        site.add("audit", {**site.records("audit")[0], "creationDate": milliseconds(site.now)})
    elif kind in ("page", "space"):
        site.add_page("New", space_id=space)
    elif kind == "post":
        site.add_blog_post("New", space_id=space)
    else:
        site.edit(kind, rng.choice(site.records(kind))["id"])


LISTS = [r"/pages\?", r"/blogposts\?", r"/attachments\?", r"/footer-comments\?", r"/versions", r"/audit"]


@pytest.mark.parametrize(
    "seed", [0, 13]
)  # a merge that takes the wrong shares of a list loses records in the last one
def test_another_number_of_parts_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    with Server(site_to_change()) as server:
        one, several = Destination(server), Destination(server, rng.choice([2, 4, 8]))
        for _ in range(4):
            if rng.random() < 0.4:
                server.fail(rng.choice(LISTS), times=1, status=500)
            several.sync(partial(change_one, server.site, rng, SHARED))
            server.heal()
            one.sync()
            for _ in range(rng.randint(1, 6)):
                change_one(server.site, rng, KINDS)
            several.split(rng.choice([1, 2, 3, 4, 8]))
        several.sync()
        one.sync()
    assert several.rows == one.rows


def merged(*states: dict[str, Any]) -> Any:
    """Return the state of a stream, merged from those of the parts."""
    parts = [[{"stream": {"stream_descriptor": {"name": "pages"}, "stream_state": it}}] for it in states]
    (found,) = merge(parts, 1)
    return found["stream"]["stream_state"]


OLD, NEW = {"updatedAt": "2026-01-01T00:00:00.000Z"}, {"updatedAt": "2026-06-01T00:00:00Z"}


def test_the_oldest_cursor_counts_in_any_form() -> None:
    assert merged(NEW, OLD) == OLD
    both = [{"use_global_cursor": True, "state": cursor} for cursor in (NEW, OLD)]
    assert merged(*both)["state"] == OLD


def test_a_part_says_nothing_about_the_spaces_of_another() -> None:
    def part(*cursors: tuple[str, dict[str, str]]) -> dict[str, Any]:
        return {
            "states": [{"partition": {"spaceId": [space]}, "cursor": cursor} for space, cursor in cursors]
        }

    # A read that was killed keeps what it was given for all spaces.
    found = merged(part(("1000", OLD), ("1001", NEW)), part(("1000", NEW), ("1001", OLD)))
    assert found == {"use_global_cursor": False, **part(("1000", OLD), ("1001", OLD))}


def test_another_number_of_parts_reads_little_again() -> None:
    with Server(site_to_change(pages=80, spaces=8, blog_posts=40, comments=80)) as server:
        parts = Destination(server, 1)
        everything = parts.sync()
        for count in (4, 2, 6, 1, 3):
            parts.split(count)
            assert parts.sync() < everything / 8
            server.site.tick(DAY)


class Alone(Destination):
    """What the declarative runner delivers with these streams of the manifest; its states have other forms."""

    names = ("pages", "attachments", "page_versions", "footer_comment_versions")
    directory: Path

    def read(self, part: str, state: list[dict[str, Any]]) -> Output:
        directory = self.directory / part.replace("/", "_")
        directory.mkdir(exist_ok=True)
        manifest = yaml.safe_dump(manifest_of(self.names, 2))
        (directory / "manifest.yaml").write_text(manifest, encoding="utf-8")
        (directory / "config.json").write_text(
            json.dumps(config_for(self.server, part=part)), encoding="utf-8"
        )
        catalog = {"streams": [configured(name, incremental=True) for name in self.names]}
        python = ROOT / ".venv-builder" / "bin" / "python"
        output = with_the_declarative_runner(directory, catalog=catalog, state=state, python=python)
        assert output.exit_code == 0
        return output


def test_the_states_of_the_manifest_alone_can_be_merged(tmp_path: Path) -> None:
    with Server(site_to_change()) as server:
        site, several, one = server.site, Alone(server, 2), Destination(server)
        several.directory, one.names = tmp_path, Alone.names
        everything = several.sync()
        first = several.outputs[0]
        for count in (1, 2):
            site.tick(DAY)
            for name in ("pages", "pages", "attachments", "footer_comments"):
                site.edit(name, random.Random(count).choice(site.records(name))["id"])
            several.split(count)
            assert several.sync() < everything / 2
        one.sync()
        assert several.rows == one.rows
        assert missed(several, first, one) == {"pages", "page_versions"}


def test_a_part_reads_everything_of_what_it_has_not_read() -> None:
    with Server(site_to_change()) as server:
        parts, one = Destination(server, 2), Destination(server)
        parts.sync()
        one.sync()
        assert missed(parts, parts.outputs[0], one) == set()


def missed(parts: Destination, first: Output, one: Destination) -> set[str]:
    """Return the streams of which one connection that goes on from part 1, without a merge, lacks records."""
    outputs = [first, parts.read("1/1", first.state)]
    found = {(name, *key_of(name, r)) for name in parts.names for out in outputs for r in out.records[name]}
    return {name for name, *_ in one.rows.keys() - found}


def test_the_loader_refuses_a_part_in_the_database_of_another(server: Server) -> None:
    """A list that is read in full would replace the rows of the other part, and they would seem to be deleted."""
    warehouse = Warehouse(server, "page_index", part=" 1 / 2")
    assert warehouse.sync().statuses == {"page_index": "COMPLETE"}
    assert warehouse.rows("SELECT part, spaces FROM _syncs") == [("1/2", '{"part": "1/2"}')]
    for part, words in (("2/2", "holds part 1/2, not part 2/2"), ("", "not the whole site")):
        with pytest.raises(SystemExit, match=words):
            warehouse.sync(part=part)
