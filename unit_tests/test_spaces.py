"""The settings that choose spaces: nothing of the other spaces arrives, and everything of the chosen ones does."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import STREAMS, Output, config_for, configured, connector, key_of
from fake_confluence import Request, Server, Site, company, generate
from source_confluence.source import MANIFEST
from unit_tests.clock import Clock
from unit_tests.few_streams import few_streams
from unit_tests.runners import with_the_declarative_runner

if TYPE_CHECKING:
    pass

Config = dict[str, Any]

# ---------------------------------------------------------------- Every stream


SETTINGS: dict[str, Config] = {
    "three spaces": {"space_keys": ["HELP", "HW", "PEOPLE"]},
    "all but some": {
        "exclude_space_keys": ["PEOPLE", "OPS"],
        "exclude_space_kinds": ["personal", "archived"],
    },
}
MARK = "NOT-CHOSEN"
WITH_CURSOR = [name for name, stream in STREAMS.items() if stream.cursor]
TEXTS = {
    *("title", "name", "message", "comment", "description", "_description", "value", "localId"),
    *("storage", "atlas_doc_format", "raw", "inline-original-selection", "inlineOriginalSelection"),
    *("webuiLink", "downloadLink", "webui", "download", "embedUrl", "fileId"),
}
ID = re.compile(r"(?<![\w-])(?:att)?\d{7,}(?![\w-])")
# The documented exceptions. All but the audit log name no content.
OF_THE_SITE = {
    *("space_roles", "space_permission_types", "space_role_mode", "users", "group", "group_members"),
    *("classification_levels", "site_info", "audit", "audit_retention"),
}


@dataclass
class Marked:
    """The company with a mark in every text of the spaces that a configuration does not choose."""

    site: Site
    chosen: Config
    outside: set[str]

    def shows(self, record: Any) -> bool:
        """Return whether a record contains an id or a text of a space that is not chosen."""
        text = json.dumps(record, ensure_ascii=False)
        return MARK in text or not self.outside.isdisjoint(ID.findall(text))


def marked(chosen: Config) -> Marked:
    site = company(small=True)
    spaces = site.records("spaces")
    keys, kinds = chosen.get("space_keys"), set(chosen.get("exclude_space_kinds", []))
    outside = {
        text
        for space in spaces
        if (keys and space["key"] not in keys)
        or space["key"] in chosen.get("exclude_space_keys", [])
        or kinds & {space["type"], space["status"]}
        for text in (space["id"], space["key"])
    }
    assert outside
    holds_more = True
    while holds_more:  # comments on attachments on custom content
        before = len(outside)
        for records in site.collections.values():
            outside |= {own(record) for record in records if own(record) and is_below(record, outside)}
        holds_more = len(outside) > before
    label = {**site.records("labels")[0], "id": site.new_id(), "name": "elsewhere", "_spaces": []}
    label["_customContents"] = []
    site.records("labels").append(label)
    next(page for page in site.records("pages") if page["id"] in outside)["_labels"].append(label["id"])
    outside |= {label["id"] for label in site.records("labels")} - used_labels(site, outside)
    for name, records in site.collections.items():
        for record in records:
            if name != "users" and (own(record) in outside or is_below(record, outside)):
                mark(record)
            drop_personal_spaces(record)
    assert MARK in label["name"]
    site.changed(*site.collections)
    return Marked(site, chosen, outside - {space["key"] for space in spaces})


def used_labels(site: Site, outside: set[str]) -> set[str]:
    """Return the labels of content, spaces and templates that are not outside."""
    found = {it["id"] for it in site.records("labels") if set(it["_spaces"]) - outside}
    for collection in ("pages", "blog_posts", "attachments", "custom_content"):
        found |= {label for r in site.records(collection) if r["id"] not in outside for label in r["_labels"]}
    for template in site.records("content_templates"):
        if template["_spaceKey"] not in outside:
            found |= {label["id"] for label in template["labels"]}
    return found


def own(record: dict[str, Any]) -> str:
    """Return the id of a record; nothing for a state, whose number is the same in every space."""
    found = record.get("id") or record.get("templateId") or ""
    return found if isinstance(found, str) else ""


def is_below(record: dict[str, Any], outside: set[str]) -> bool:
    parents = {name: value for name, value in record.items() if re.fullmatch(r"_?\w+(Id|Key)", name)}
    return not outside.isdisjoint(str(value) for value in parents.values())


def mark(value: Any) -> None:
    """Mark the texts of a record, at any depth."""
    for name, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(inner, (dict, list)):
            mark(inner)
        elif isinstance(inner, str) and name in TEXTS:
            value[name] = inner + MARK


def drop_personal_spaces(value: Any) -> None:
    """Remove what Confluence returns only if a request expands it."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            drop_personal_spaces(inner)
    if isinstance(value, dict):
        value.pop("personalSpace", None)


def types_of(site: Site) -> list[str]:
    return sorted({record["type"] for record in site.records("custom_content")})


@dataclass
class Reads:
    """What three reads of a marked site returned: everything, the chosen spaces, and these incrementally."""

    marked: Marked
    server: Server
    whole: Output
    limited: Output
    later: Output
    requested: list[Request]
    downloaded: list[Request]


@pytest.fixture(scope="module", params=list(SETTINGS.values()), ids=list(SETTINGS))
def reads(request: pytest.FixtureRequest) -> Any:
    """Read every stream of the company, then only the chosen spaces."""
    found = marked(request.param)
    with Server(found.site) as server:
        everything = config_for(server, custom_content_types=types_of(found.site))
        config = {**everything, **found.chosen}
        with few_streams(*STREAMS, group_size=25):
            whole = connector("read", everything, select=STREAMS, incremental=True)
            assert whole.exit_code == 0, whole.errors
            server.log.clear()
            server.media.log.clear()
            limited = connector("read", config, select=STREAMS)
            requested, downloaded = list(server.log), list(server.media.log)
            later = connector("read", config, select=WITH_CURSOR, state=whole.state, incremental=True)
        yield Reads(found, server, whole, limited, later, requested, downloaded)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_nothing_of_other_spaces_and_everything_of_the_chosen_ones(
    reads: Reads, name: str
) -> None:
    whole, limited = reads.whole.records[name], reads.limited.records[name]
    assert reads.limited.statuses[name] == "COMPLETE"
    if name not in OF_THE_SITE:
        assert [record for record in limited if reads.marked.shows(record)] == []
    expected = {key_of(name, r) for r in whole if name == "audit" or not reads.marked.shows(r)}
    if name == "labels":
        expected = {(record["labelId"],) for kind in LABELLED for record in reads.limited.records[kind]}
    if name == "named_users":
        expected &= {(account,) for account in accounts(reads.limited)}
    assert expected
    assert {key_of(name, record) for record in limited} == expected
    if "space_keys" in reads.marked.chosen:
        assert (len(expected) == len(whole)) == (name in OF_THE_SITE)


def test_an_account_that_sees_no_space_reads_only_the_streams_of_the_site() -> None:
    site = company(small=True)
    site.collections["spaces"] = []
    with Server(site) as server:
        assert connector("read", config_for(server), select=[*OF_THE_SITE]).exit_code == 0
        output = connector("read", config_for(server), select=[*OF_THE_SITE, "named_users"])
        assert (output.exit_code, output.records) == (1, {})


LABELLED = ("page_labels", "blog_post_labels", "attachment_labels")


def accounts(output: Output) -> set[str | None]:
    """Return the accounts that the records of a read name as authors, owners or assignees."""
    fields = {"space": ("authorId", "spaceOwnerId"), "tasks": ("assignedTo",)}
    fields |= dict.fromkeys(("page_index", "blog_post_index"), ("authorId",))
    versioned = ("page_index", "blog_post_index", "attachments", "footer_comments", "inline_comments")
    found = {r.get(field) for name, names in fields.items() for r in output.records[name] for field in names}
    return found | {r["version"]["authorId"] for name in versioned for r in output.records[name]}


@pytest.mark.parametrize("name", [name for name in WITH_CURSOR if name not in OF_THE_SITE])
def test_a_sync_with_a_state_of_all_spaces_has_nothing_of_the_others(reads: Reads, name: str) -> None:
    assert reads.later.statuses[name] == "COMPLETE"
    assert [record for record in reads.later.records[name] if reads.marked.shows(record)] == []


def test_nothing_is_requested_below_other_spaces(reads: Reads) -> None:
    """Confluence is asked only which labels are used, and where attachments with comments are."""
    named = {
        (request.operation, part)
        for request in reads.requested
        for part in [*request.path.split("/"), *request.values("cql"), *request.values("space-id")]
        if part in reads.marked.outside
    }
    allowed = {f"/wiki/api/v2/labels/{{id}}/{kind}" for kind in ("pages", "blogposts", "attachments")}
    assert {operation for operation, _ in named} <= {*allowed, "/wiki/api/v2/attachments/{id}"}
    files = {record["id"] for record in reads.limited.records["attachment_files"]}
    assert len(reads.downloaded) == len(files)


def test_the_state_has_nothing_of_other_spaces(reads: Reads) -> None:
    assert not reads.marked.shows(reads.limited.state)


# The manifest alone cannot leave spaces out of these lists, nor of what is below them.
ONLY_IN_THE_PACKAGE = [name for name in STREAMS if STREAMS[name].only_the_package_limits]


@pytest.fixture(scope="module")
def runner(reads: Reads, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """Read every stream with the declarative runner."""
    directory = tmp_path_factory.mktemp("runner")
    config = config_for(reads.server, custom_content_types=types_of(reads.marked.site), **reads.marked.chosen)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copy(MANIFEST, directory / "manifest.yaml")
    catalog = {"streams": [configured(name) for name in STREAMS]}
    return with_the_declarative_runner(directory, catalog=catalog, state=None)


@pytest.mark.parametrize("name", STREAMS)
def test_the_manifest_alone_has_nothing_of_other_spaces_or_fails(
    reads: Reads, runner: Output, name: str
) -> None:
    if name in ONLY_IN_THE_PACKAGE:
        assert runner.statuses[name] == "INCOMPLETE"
        assert runner.records[name] == []
        (why,) = {error for error in runner.errors if "streams did not sync successfully: " in error}
        assert f"{name}: " in why
        assert "Only the package of this connector can limit this stream to spaces." in why
    else:
        assert runner.statuses[name] == "COMPLETE"
        expected, found = ({key_of(name, r) for r in o.records[name]} for o in (reads.limited, runner))
        assert found == expected


# ---------------------------------------------------------------- While the site changes, and in doubt


BELOW_PAGES = [
    *("footer_comments", "footer_comment_versions", "inline_comments", "attachments", "attachment_versions"),
    *("attachment_files", "page_labels", "attachment_labels", "page_versions", "rendered_pages", "tasks"),
]


def few(config: Config, state: Any, select: list[str] = BELOW_PAGES) -> Output:
    with few_streams(*select, group_size=25):
        return connector("read", config, select=select, incremental=True, state=state)


def test_a_page_that_moves_to_a_space_that_is_left_out_is_out_from_the_next_read_on(server: Server) -> None:
    site, config = server.site, config_for(server, exclude_space_keys=["PEOPLE"])
    keys = {space["key"]: space["id"] for space in site.records("spaces")}
    first = few(config, None)
    parents = {page["parentId"] for page in site.records("pages")}
    parents |= {space["homepageId"] for space in site.records("spaces")}
    with_files = {record.get("pageId") for record in first.records["attachments"]} - parents
    moved = next(
        r["pageId"] for r in first.records["footer_comments"] if r.get("pageId") in with_files - {None}
    )
    site.tick(86400)
    site.edit_page(moved, spaceId=keys["PEOPLE"])
    for task in site.find("tasks", "pageId", moved):
        task["spaceId"] = keys["PEOPLE"]
    site.changed("tasks")
    below = {moved}
    for collection in ("footer_comments", "inline_comments", "attachments"):
        for record in list(site.find(collection, "pageId", moved)):
            below.add(site.edit(collection, record["id"])["id"])
    for state in (first.state, None):
        output = few(config, state)
        assert (output.exit_code, output.errors) == (0, [])
        arrived = {name: json.dumps(records) for name, records in output.records.items()}
        assert [(name, each) for name, text in arrived.items() for each in below if f'"{each}"' in text] == []


def test_what_the_search_finds_in_the_space_where_it_was_is_left_out(server: Server) -> None:
    """The index of the search is behind; the records name the space that they are in now."""
    site, config = server.site, config_for(server, exclude_space_keys=["PEOPLE"])
    people = next(space for space in site.records("spaces") if space["key"] == "PEOPLE")

    def move(request: Request) -> None:
        site.get("tree_items", request.path.split("/")[-1])["spaceId"] = people["id"]

    def in_people(body: bytes) -> bytes:
        response = json.loads(body)
        for found in response["results"]:
            (found.get("content") or found)["space"] = {"id": int(people["id"]), "key": "PEOPLE"}
        return json.dumps(response).encode()

    server.before(r"/(folder|whiteboard|database|embed)s/", move)
    output = connector("read", config, select=["tree_items"])
    assert (output.exit_code, output.records) == (0, {})
    assert server.requests_to("/folders/")
    server.fail(r"/rest/api/(content/)?search\?", times=None, body=in_people)
    output = connector("read", config, select=["tree_item_index", "content_restrictions"])
    assert (output.exit_code, output.records) == (0, {})


def test_what_is_in_a_space_that_is_restored_during_the_look_up_arrives(server: Server) -> None:
    site, config = server.site, config_for(server, exclude_space_keys=["PEOPLE"])
    whole = connector("read", config, select=["footer_comments"]).records["footer_comments"]
    space = next(space for space in site.records("spaces") if space["key"] == "ENG")
    site.set_status("spaces", space["id"], "archived")

    def restore(request: Request) -> None:
        if request.values("ids") and request.values("status") == ["archived"]:
            site.set_status("spaces", space["id"], "current")

    server.before(r"/spaces\?", restore)
    output = connector("read", config, select=["footer_comments"])
    assert space["status"] == "current"
    assert [r["id"] for r in output.records["footer_comments"]] == [r["id"] for r in whole] != []


def test_what_is_below_a_page_of_a_new_space_arrives(server: Server) -> None:
    site = server.site
    added: list[str] = []

    def add(_: Request) -> None:
        if not added:
            space = site.add_space("New", key="NEW")
            page = site.add_page("New", space_id=space["id"])
            comment = {**site.records("footer_comments")[0], "id": site.new_id(), "pageId": page["id"]}
            added.append(site.add("footer_comments", comment)["id"])

    server.before(r"/footer-comments\?", add)
    config = config_for(server, exclude_space_keys=["PEOPLE"])
    output = connector("read", config, select=["footer_comments"], incremental=True)
    assert added[0] in {record["id"] for record in output.records["footer_comments"]}


def test_what_is_in_no_known_space_is_left_out_and_counted(server: Server, log: io.StringIO) -> None:
    site = server.site
    page_id = next(c["pageId"] for c in site.records("footer_comments") if c.get("pageId"))
    site.set_status("pages", page_id, "draft")
    config = config_for(server, exclude_space_keys=["PEOPLE"])
    output = connector("read", config, select=["footer_comments", "attachments"])
    for name, records in output.records.items():
        unknown = {
            r["id"] for r in site.records(name) if r.get("pageId") == page_id or r.get("customContentId")
        }
        on_files = {r["id"] for r in site.records(name) if r.get("attachmentId") in unknown}
        assert unknown.isdisjoint(record["id"] for record in records)
        found = re.search(
            rf"{name}: (\d+) records were left out, because their space is not known", log.getvalue()
        )
        assert found
        assert int(found[1]) >= len(unknown | on_files) > 0


def test_a_label_and_a_comment_whose_content_is_gone_are_left_out(server: Server) -> None:
    """A label is deleted while the labels are read; a comment stays although its attachment was purged."""
    site, config = server.site, config_for(server, exclude_space_keys=["PEOPLE"])
    label = site.records("labels")[0]["id"]
    file = next(c["attachmentId"] for c in site.records("footer_comments") if c.get("attachmentId"))

    def purge(collection: str, record_id: str) -> None:
        if site.find(collection, "id", record_id):
            site.remove(collection, record_id)

    server.before(rf"/labels/{label}/", lambda _: purge("labels", label))
    server.before(rf"/attachments/{file}", lambda _: purge("attachments", file))
    output = connector("read", config, select=["labels", "footer_comments"])
    assert (output.exit_code, output.errors) == (0, [])
    assert label not in {record["id"] for record in output.records["labels"]}
    assert file not in {record.get("attachmentId") for record in output.records["footer_comments"]}


def test_a_comment_on_nothing_is_left_out(server: Server) -> None:
    comment = server.site.records("footer_comments")[0]
    for holder in ("pageId", "blogPostId", "customContentId", "attachmentId"):
        comment[holder] = None
    output = connector("read", config_for(server, exclude_space_keys=["PEOPLE"]), select=["footer_comments"])
    assert (output.exit_code, output.errors) == (0, [])
    assert output.records["footer_comments"]
    assert comment["id"] not in {record["id"] for record in output.records["footer_comments"]}


@pytest.mark.parametrize("match", [r"/pages\?", r"/spaces\?.*ids=", "/attachments/"])
def test_a_look_up_of_spaces_is_repeated_after_a_gateway_timeout(server: Server, match: str) -> None:
    server.fail(match, status=504)
    config = config_for(server, exclude_space_keys=["PEOPLE"])
    with Clock() as clock:
        output = connector("read", config, select=["footer_comments"])
    assert (output.exit_code, output.errors) == (0, [])
    assert output.records["footer_comments"]
    assert clock.waited


@pytest.mark.parametrize(
    ("stream", "path"), [("footer_comments", r"/api/v2/pages\?"), ("labels", "/labels/")]
)
def test_a_look_up_of_spaces_asks_for_less_at_once_after_a_gateway_timeout(
    server: Server, stream: str, path: str
) -> None:
    config = config_for(server, exclude_space_keys=["PEOPLE"])
    whole = connector("read", config, select=[stream]).records[stream]
    server.fail(f"{path}.*limit=250", status=504, times=None)
    with Clock():
        output = connector("read", config, select=[stream])
    assert (output.exit_code, output.errors) == (0, [])
    assert {it["id"] for it in output.records[stream]} == {it["id"] for it in whole} != set()


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    "match", [r"/pages\?", r"/blogposts\?", r"/custom-content\?", r"/spaces\?.*ids=", "/attachments/"]
)
def test_a_list_fails_if_the_spaces_of_its_records_cannot_be_read(
    server: Server, match: str, status: int
) -> None:
    server.fail(match, times=None, status=status, body=b'{"statusCode":404,"message":"No"}')
    if status == 404:  # of a credential that is revoked
        server.fail("/user/current", times=None, status=404, after=1)
    config = config_for(server, exclude_space_keys=["PEOPLE"], custom_content_types=types_of(server.site))
    output = connector("read", config, select=["footer_comments"])
    assert output.statuses["footer_comments"] == "INCOMPLETE"
    assert output.records["footer_comments"] == []
    assert any("does not know this credential" in error for error in output.errors) == (status == 404)


ENG_ONLY, ENG_AND_HW, NO_PEOPLE = (
    {"space_keys": ["ENG"]},
    {"space_keys": ["HW", "ENG"]},
    {"exclude_space_keys": ["PEOPLE"]},
)
FOLLOWED = [
    *("footer_comments", "inline_comments", "attachments", "pages", "blog_posts", "custom_content"),
    *("footer_comment_versions", "inline_comment_versions", "attachment_versions", "page_versions"),
    "custom_content_versions",
]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param([ENG_ONLY, ENG_AND_HW], id="a space more"),
        pytest.param([NO_PEOPLE, {}], id="no longer left out"),
        pytest.param([{}, ENG_ONLY, {}], id="narrowed, then all"),
        pytest.param(
            [{"exclude_space_kinds": ["personal", "archived"]}, {"exclude_space_kinds": ["personal"]}],
            id="kinds",
        ),
    ],
)
def test_after_other_settings_everything_of_the_chosen_spaces_arrives(settings: list[Config]) -> None:
    state, arrived, site = None, set(), company(small=True)
    with Server(site) as server, few_streams(*FOLLOWED, group_size=25):
        config = config_for(server, custom_content_types=types_of(site))
        for chosen in settings:
            output = connector("read", {**config, **chosen}, select=FOLLOWED, incremental=True, state=state)
            assert output.exit_code == 0, output.errors
            state = output.state
            arrived |= {(name, *key_of(name, r)) for name in FOLLOWED for r in output.records[name]}
            site.tick(86400)
        whole = connector("read", {**config, **settings[-1]}, select=FOLLOWED)
    expected = {(name, *key_of(name, r)) for name in FOLLOWED for r in whole.records[name]}
    assert expected - arrived == set()


def test_with_the_same_settings_only_changes_are_read(server: Server) -> None:
    config = config_for(server, **NO_PEOPLE, space_keys=["ENG", "HW"])
    first = few(config, None, FOLLOWED)
    again = few({**config, "space_keys": ["HW", "ENG"]}, first.state, FOLLOWED)
    for name in ("footer_comments", "inline_comments", "attachments"):
        assert len(first.records[name]) > len(again.records[name])


@pytest.mark.parametrize(
    "chosen",
    [
        {"space_keys": ["~ines"], "exclude_space_kinds": ["personal"]},
        {"space_keys": ["ENG"], "exclude_space_keys": ["ENG"]},
    ],
)
def test_settings_that_leave_no_space_fail_check_and_read(server: Server, chosen: Config) -> None:
    config = config_for(server, **chosen)
    assert "leave no space to read" in connector("check", config).connection["message"]
    output = connector("read", config, select=["pages", "footer_comments"])
    assert output.exit_code == 1
    assert output.records == {}
    assert "leave no space to read" in output.stderr


# ---------------------------------------------------------------- More keys than a URL holds


@pytest.fixture(scope="module")
def personal() -> Any:
    """Serve a site with 430 personal spaces, each with a page and a folder."""
    site = generate(pages=0, spaces=1)
    for n in range(430):
        space = site.add_space(f"Person {n}", key=f"~{n:024}", type="personal")
        page = site.add_page(f"About {n}", space_id=space["id"])
        folder = {**page, "id": site.new_id(), "type": "folder", "title": f"Folder {n}", "_links": {}}
        site.add("tree_items", folder)
    with Server(site) as server:
        yield server


@pytest.mark.parametrize("name", ["space_keys", "exclude_space_keys"])
@pytest.mark.parametrize("count", [1, 250, 420])
def test_any_number_of_keys_works_in_check_and_read(personal: Server, name: str, count: int) -> None:
    keys = [space["key"] for space in personal.site.records("spaces") if space["type"] == "personal"]
    config = config_for(personal, **{name: keys[:count]})
    streams = ("space", "pages", "tree_item_index")
    with few_streams(*streams, group_size=25):
        assert connector("check", config).connection["status"] == "SUCCEEDED"
        output = connector("read", config, select=streams)
    assert (output.exit_code, output.errors) == (0, [])
    chosen = keys[:count] if name == "space_keys" else [*keys[count:], "S0"]
    assert sorted(space["key"] for space in output.records["space"]) == sorted(chosen)
    people = {f"{int(key[1:])}" for key in chosen if key != "S0"}
    assert {page["title"].split()[1] for page in output.records["pages"]} == people
    assert {item["title"].split()[1] for item in output.records["tree_item_index"]} == people


@pytest.mark.parametrize("name", ["space_keys", "exclude_space_keys"])
def test_an_unknown_key_among_many_is_named_by_check_and_read(personal: Server, name: str) -> None:
    keys = [space["key"] for space in personal.site.records("spaces")]
    config = config_for(personal, **{name: [*keys[:420], "NOSUCH"]})
    assert "has the key NOSUCH." in connector("check", config).connection["message"]
    output = connector("read", config, select=["space"])
    assert output.exit_code == 1
    assert output.records == {}
    assert "has the key NOSUCH." in output.stderr
