"""The tests that run for every stream: a small company, read completely, filtered, and while it changes."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft7Validator, FormatChecker

from common import fields
from common.connector import SHARED, STREAMS, Output, config_for, connector, key_of
from fake_confluence import Server, Site, company, generate, load_contract
from source_confluence.components import factory
from source_confluence.components.requester import PARENTS
from source_confluence.source import MANIFEST
from tools.golden import FILE, first_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_confluence import Request

V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
FORMATS = FormatChecker(())
FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or TIME.fullmatch(value) is not None)

KEPT = ("ENG", "HW")
SCARCE = ("HW", "OPS", "PROD", "PEOPLE", "BUOY4")  # with the only databases, whiteboards and some properties
VERSIONS = [name for name in STREAMS if name.endswith("_versions")]
BODIES = ["pages", "blog_posts", "tasks", "footer_comments", "inline_comments"]
BODIES += ["footer_comment_replies", "inline_comment_replies"]
# As documented, a version contains its page, post or comment with a body; attachments have no body.
NEVER = {"attachment_versions": {"attachment.body"}}
# Objects with values of any type: a field has one type, so their inner fields are not declared.
OF_ANY_TYPE = {"properties.results.value"}
CHILDREN = [name for name, stream in STREAMS.items() if "{" in stream.operations[0].path]


@dataclass
class Reading:
    site: Site
    log: list[Request]
    output: Output
    warnings: list[str]

    def requested(self, stream: str) -> list[Request]:
        """Return the requests to the operations of a stream."""
        paths = {operation.path for operation in STREAMS[stream].operations}
        return [request for request in self.log if request.operation in paths]


def read(server: Server, select: list[str], **config: Any) -> Reading:
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        output = connector("read", config_for(server, **config), select=select)
    finally:
        logging.getLogger().removeHandler(handler)
    return Reading(server.site, list(server.log), output, warnings)


def types_of(site: Site) -> list[str]:
    return sorted({record["type"] for record in site.records("custom_content")})


def few_a_page(server: Server) -> Callable[[Request], None]:
    """Make the pages so small that every list has several."""

    def cap(request: Request) -> None:
        long = {"users": 3, "restriction": 30}.get(request.operation.rpartition("/")[2], 1)
        nested = "{" in request.operation or request.operation.endswith("/template/page")
        server.max_page = long if nested else 4

    return cap


@pytest.fixture(scope="module")
def selected(request: pytest.FixtureRequest) -> list[str]:
    """Return the streams whose tests run; all streams if a test concerns all of them."""
    tests = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    names = {test.callspec.params.get("name") if hasattr(test, "callspec") else None for test in tests}
    return [name for name in STREAMS if name in names or None in names]


@pytest.fixture(scope="module")
def whole(selected: list[str]) -> Reading:
    """Read every stream, with few records per page."""
    with Server(company(small=True)) as server:
        server.before("", few_a_page(server))
        return read(server, selected, custom_content_types=types_of(server.site), version_bodies=True)


@pytest.fixture(scope="module")
def chosen(selected: list[str]) -> Reading:
    """Read two spaces, chosen by their keys, in the other formats."""
    formats = {"body_format": "atlas_doc_format", "rendered_format": "styled_view"}
    with Server(company(small=True)) as server:
        types = types_of(server.site)
        return read(
            server,
            selected,
            space_keys=list(KEPT),
            version_bodies=True,
            custom_content_types=types,
            **formats,
        )


@pytest.fixture(scope="module")
def left(selected: list[str]) -> Reading:
    """Read the same two spaces by excluding all others, without bodies and with renamed authors."""
    with Server(company(small=True)) as server:
        for event in server.site.records("audit"):
            event["author"] |= {"displayName": "Renamed", "publicName": "Renamed"}
        others = [s["key"] for s in server.site.records("spaces") if s["key"] not in KEPT]
        formats = {"body_format": "none", "rendered_format": "export_view"}
        types = types_of(server.site)
        return read(server, selected, exclude_space_keys=others, custom_content_types=types, **formats)


@pytest.fixture(params=["whole", "chosen", "left"])
def reading(request: pytest.FixtureRequest) -> Reading:
    found: Reading = request.getfixturevalue(request.param)
    return found


every_stream = pytest.mark.parametrize("name", STREAMS)


# ---------------------------------------------------------------- Every stream


@every_stream
def test_a_stream_is_read_completely(whole: Reading, name: str) -> None:
    assert whole.output.statuses[name] == "COMPLETE"


@pytest.fixture(scope="module")
def both(selected: list[str]) -> list[list[Output]]:
    """Read a small company, change it and read again: with what only saves time, and without it."""
    return [syncs(table, selected) for table in (factory.FAST, {})]


def syncs(table: dict[type, Any], selected: list[str]) -> list[Output]:
    cursors = [name for name in selected if STREAMS[name].cursor]
    with Server(company(small=True)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "FAST", table)
        config = config_for(server, custom_content_types=types_of(server.site), version_bodies=True)
        first = connector("read", config, select=selected, incremental=True)
        server.site.tick(86_400)
        for collection in ("pages", "blog_posts", "attachments", "footer_comments"):
            server.site.edit(collection, server.site.records(collection)[0]["id"])
        return [first, connector("read", config, select=cursors, state=first.state, incremental=True)]


@every_stream
def test_without_what_saves_time_a_stream_has_the_same_records(both: list[list[Output]], name: str) -> None:
    def records(output: Output) -> dict[tuple[Any, ...], str]:
        """Return the records as text, without the port of the site."""
        found = output.records[name]
        return {key_of(name, it): re.sub(r"127\.0\.0\.1:\d+", "", json.dumps(it)) for it in found}

    fast, plain = both
    assert records(fast[0])
    assert records(plain[0]) == records(fast[0])


def test_without_what_saves_time_a_destination_is_the_same_after_changes(both: list[list[Output]]) -> None:
    def destination(first: Output, then: Output) -> dict[str, dict[tuple[Any, ...], Any]]:
        assert 0 < len(then.records["pages"]) < len(first.records["pages"])
        return {
            name: {key_of(name, it): it.get("version") for it in first.records[name] + then.records[name]}
            for name in first.records
        }

    fast, plain = both
    assert destination(*plain) == destination(*fast)


@every_stream
def test_a_stream_requests_more_than_one_page(whole: Reading, name: str) -> None:
    requested, paging = whole.requested(name), {operation.paging for operation in STREAMS[name].operations}
    if paging <= {"array", "bulk", "object", "file"}:
        assert (len({request.target for request in requested}) > 1) == (name in CHILDREN)
    else:
        continued = any(request.values("cursor") or request.values("start") for request in requested)
        assert continued, (
            f"records.yaml must give one parent of {name} more than one record, or the list a limit"
        )


@every_stream
def test_a_key_is_complete_and_unique(whole: Reading, name: str) -> None:
    keys = [key_of(name, record) for record in whole.output.records[name]]
    assert keys, f"{name} has no record: give the company some in records.yaml"
    assert not [key for key in keys if None in key or "None" in key or "" in key]
    assert not [key for key, times in Counter(keys).items() if times > 1]


@every_stream
def test_every_record_fits_its_schema(whole: Reading, name: str) -> None:
    validator = Draft7Validator(STREAMS[name].schema, format_checker=FORMATS)
    for record in whole.output.records[name]:
        assert not [f"{error.json_path}: {error.message}" for error in validator.iter_errors(record)]


@every_stream
def test_every_declared_field_is_seen(whole: Reading, name: str) -> None:
    asked_format = "view" if "rendered" in name else "storage"
    declared = set(fields.declared(STREAMS[name].schema, asked_format, NEVER.get(name, set())))
    seen = {path for record in whole.output.records[name] for path in fields.filled(record)}
    unseen = declared - seen
    assert not unseen, f"no record in records.yaml has these fields of {name}: add them there, or to NEVER"


@every_stream
def test_every_field_is_declared(whole: Reading, name: str) -> None:
    records = whole.output.records[name]
    found = {field for record in records for field in fields.undeclared(STREAMS[name].schema, record)}
    assert found - OF_ANY_TYPE == set(), f"describe these fields in schemas/{name}.json"


def lists_inside(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each list of results inside a record, with its place."""
    if isinstance(value, dict):
        if isinstance(value.get("results"), list):
            yield place, value
        for field, below in value.items():
            yield from lists_inside(below, f"{place}.{field}".lstrip("."))
    elif isinstance(value, list):
        for below in value:
            yield from lists_inside(below, place)


@every_stream
def test_a_list_inside_a_record_is_whole_or_continues_in_the_next_record(whole: Reading, name: str) -> None:
    for record in whole.output.records[name]:
        for place, found in lists_inside(record):
            more = (found.get("meta") or {}).get("hasMore") or "next" in (found.get("_links") or {})
            if more or len(found["results"]) == found.get("limit"):
                assert (name in EXACT, place.partition(".")[0]) == (True, "restrictions")
                later = record["start"] + len(found["results"])
                key = (record[STREAMS[name].key[0]], record["operation"], later)
                assert key in {key_of(name, each) for each in whole.output.records[name]}


@every_stream
def test_the_records_match_the_site(whole: Reading, name: str) -> None:
    records = whole.output.records[name]
    if name == "audit":
        assert len(records) == len(whole.site.records("audit"))
    elif name in EXACT:
        assert principals_read(records, name) == principals_held(whole.site, name)
    else:
        found, all_of_it = (
            {key_of(name, record) for record in records},
            set(HELD.get(name, held())(whole.site, name)),
        )
        assert found == all_of_it, (
            f"{name} does not read all records of its collection: if that is right, add it to HELD"
        )


Keys = set[tuple[Any, ...]]


def held(collection: str = "", **only: tuple[str, ...]) -> Callable[[Site, str], Keys]:
    """Return a function that returns the keys that a stream should have, from the site's records.

    Args:
        collection: The collection; by default that of the stream's operation.
        only: The allowed values by field; the stream does not read other records.
    """

    def keys(site: Site, name: str) -> Keys:
        records = site.records(collection or STREAMS[name].operations[0].collections[0])
        chosen = [record for record in records if all(record.get(k) in v for k, v in only.items())]
        chosen = [record for record in chosen if not is_below_trash(site, record)]
        return {tuple(value_of(record, field) for field in STREAMS[name].key) for record in chosen}

    return keys


def is_below_trash(site: Site, record: dict[str, Any]) -> bool:
    """Return whether the page, post or attachment of a record is in the trash, where nothing is requested."""
    parents = {"_pageId": "pages", "_blogPostId": "blog_posts", "_attachmentId": "attachments"}
    found = [site.get(name, record[field]) for field, name in parents.items() if field in record]
    return any(parent["status"] in ("trashed", "deleted") for parent in found)


def value_of(record: dict[str, Any], field: str) -> Any:
    """Return a field of a site's record: the field, its unsent copy, the field of a nested object, or the id."""
    inner = {"accountId": "watcher", "principalType": "principal", "principalId": "principal"}
    if field not in record and inner.get(field) in record:
        return record[inner[field]][field]
    return record.get(field, record.get(f"_{field}", record.get("id")))


def labelled(*statuses: str) -> Callable[[Site, str], Keys]:
    return lambda site, name: {
        (label, record["id"])
        for record in site.records(STREAMS[name].operations[0].collections[0])
        if record["status"] in statuses
        for label in record["_labels"]
    }


def label_spaces(field: str) -> Callable[[Site, str], Keys]:
    # The parameter `prefix` accepts only these two: see docs/oddities.md#lists-without-a-status-are-incomplete.
    return lambda site, _: {
        (space, label["id"])
        for label in site.records("labels")
        for space in label[field]
        if label["prefix"] in ("my", "team")
    }


def offered(site: Site, _: str) -> Keys:
    spaces = {space["key"]: space["id"] for space in site.records("spaces")} | {"": "site"}
    return {
        (spaces[key], template["templateId"])
        for template in site.records("blueprint_templates")
        for key in template["_offeredIn"]
    }


def of_custom_content(site: Site, _: str) -> Keys:
    return {(record["id"], label) for record in site.records("custom_content") for label in record["_labels"]}


def searched(site: Site, _: str) -> Keys:
    """Return the current content of current spaces."""
    spaces = {space["id"] for space in site.records("spaces") if space["status"] == "current"}
    content = [r for name in ("pages", "blog_posts", "tree_items") for r in site.records(name)]
    return {(r["id"],) for r in content if r["status"] == "current" and r["spaceId"] in spaces}


def page_watchers(site: Site, _: str) -> Keys:
    watches = [(str(r["contentId"]), r["watcher"]["accountId"]) for r in site.records("page_watchers")]
    return {watch for watch in watches if not is_below_trash(site, {"_pageId": watch[0]})}


def replies(site: Site, name: str) -> Keys:
    comments = site.records(name.replace("replies", "comments").replace("comment_comments", "comments"))
    return {(record["id"],) for record in comments if record.get("parentCommentId")}


def members(site: Site, _: str) -> Keys:
    return {(group, user["accountId"]) for user in site.records("users") for group in user["_groups"]}


def authors(site: Site, _: str) -> Keys:
    named = [("spaces", "authorId"), ("spaces", "spaceOwnerId"), ("tasks", "assignedTo")]
    found = {record.get(field) for collection, field in named for record in site.records(collection)}
    for collection in ("pages", "blog_posts", "attachments", "footer_comments", "inline_comments"):
        for record in site.records(collection):
            found |= {record.get("authorId"), record["version"]["authorId"]}
    return {(user["accountId"],) for user in site.records("users") if user["accountId"] in found}


def listed_users(site: Site, _: str) -> Keys:
    return {(user["accountId"],) for user in site.records("users") if user["_permissionTypes"]}


# Streams that read only some records of their collection, or records of another collection.
READ: dict[str, Any] = {"status": ("current", "archived")}
CLASSIFIED: dict[str, Any] = {"_classified": ("yes",)}
HELD: dict[str, Callable[[Site, str], Keys]] = {
    "space_labels": label_spaces("_spaces"),
    "space_content_labels": label_spaces("_contentSpaces"),
    "pages": held(**READ),
    "blog_posts": held(status=("current",)),
    "attachment_files": held(**READ),
    "content_restrictions": searched,
    "page_watchers": page_watchers,
    "tree_item_index": held(status=("current",)),
    "tree_items": held(status=("current",)),
    "footer_comment_replies": replies,
    "inline_comment_replies": replies,
    "page_labels": labelled("current", "archived"),
    "blog_post_labels": labelled("current"),
    "attachment_labels": labelled("current", "archived"),
    "custom_content_labels": of_custom_content,
    "blueprint_templates": offered,
    "audit_retention": lambda _site, _name: {("audit",)},
    "users": listed_users,
    "named_users": authors,
    "group_members": members,
    "space_classification_levels": held(**CLASSIFIED),
    "page_classification_levels": held(**READ, **CLASSIFIED),
    "blog_post_classification_levels": held(status=("current",), **CLASSIFIED),
    "tree_item_classification_levels": held("tree_items", type=("whiteboard", "database"), **CLASSIFIED),
    "page_content_states": held("pages", **READ),
    "blog_post_content_states": held("blog_posts", status=("current",)),
    "rendered_pages": held(**READ),
    "rendered_blog_posts": held(status=("current",)),
    "page_views": held("pages", **READ),
    "page_viewers": held("pages", **READ),
    "blog_post_views": held("blog_posts", status=("current",)),
    "blog_post_viewers": held("blog_posts", status=("current",)),
}


# One request for each page, post or item; `content_restrictions` reads a page of them with one request.
EXACT = ["page_restrictions", "blog_post_restrictions", "tree_item_restrictions"]


def principals_read(records: list[dict[str, Any]], name: str) -> set[tuple[Any, ...]]:
    found = set()
    for record in records:
        content = record[STREAMS[name].key[0]]
        for kind, field in (("user", "accountId"), ("group", "id")):
            for each in record["restrictions"][kind]["results"]:
                found.add((content, record["operation"], kind, each[field]))
    return found


def principals_held(site: Site, name: str) -> set[tuple[Any, ...]]:
    contents = {
        record["id"]
        for record in site.records(name.replace("_restrictions", "s"))
        if record["status"] in READ["status"]
    }
    return {
        (record["_contentId"], record["operation"], kind, each)
        for record in site.records("content_restrictions")
        if record["_contentId"] in contents
        for kind in ("user", "group")
        for each in record[f"_{kind}s"]
    }


# ---------------------------------------------------------------- All streams together


def test_one_record_of_each_stream_is_as_expected(whole: Reading) -> None:
    read_now = first_records(
        {"stream": name, "data": data} for name, records in whole.output.records.items() for data in records
    )
    assert read_now == FILE.read_text(encoding="utf-8"), "If this is meant, run `make golden`."


@every_stream
def test_a_stream_reads_only_changed_parents_if_it_has_a_cursor(name: str) -> None:
    stream = STREAMS[name]
    if stream.router.get("type") == "SubstreamPartitionRouter":
        wrong = f"per_changed_… is for streams with a cursor, and per_… for the others: change the router of {name}"
        assert stream.follows_changes == (stream.cursor is not None), wrong


@pytest.mark.parametrize("name", CHILDREN)
def test_confluence_can_be_asked_for_each_parent(name: str) -> None:
    unknown = set(STREAMS[name].partition_fields) - PARENTS.keys() - {"anySpaceId"}
    assert not unknown, (
        f"add {unknown} to PARENTS in components/requester.py: where Confluence has the parent"
    )


def test_a_stream_has_one_name_everywhere() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    index = [entry["$ref"].rpartition("/")[2] for entry in manifest["streams"]]
    blocks = manifest["definitions"]["streams"]
    assert {name: block["name"] for name, block in blocks.items()} == {name: name for name in index}
    loaders = {name: block["schema_loader"]["schema"] for name, block in blocks.items()}
    assert loaders == {name: f"#/schemas/{name}" for name in index}
    assert sorted(path.stem for path in MANIFEST.parent.glob("schemas/*")) == sorted(index)
    with Server(company(small=True)) as server:
        found = connector("discover", config_for(server))
    (catalog,) = [message["catalog"] for message in found.messages if message["type"] == "CATALOG"]
    assert [stream["name"] for stream in catalog["streams"]] == index


def test_a_read_succeeds_without_warnings(reading: Reading) -> None:
    assert reading.output.exit_code == 0
    assert set(reading.output.statuses.values()) == {"COMPLETE"}
    assert reading.output.other == []
    assert reading.warnings == []
    assert reading.output.errors == []


def test_confluence_refuses_no_request(reading: Reading) -> None:
    asked = [request for request in reading.log if "authorization" in request.headers]
    refused = [request for request in asked if request.status not in (200, 302)]
    skipped = {path for path, operation in load_contract().operations.items() if operation.optional}
    assert {request.target for request in refused if request.operation not in skipped} == set()
    assert {request.status for request in refused} == {404}


def test_pages_are_as_large_as_confluence_allows(reading: Reading) -> None:
    operations = {o.path: o for stream in STREAMS.values() for o in stream.operations if o.limit_max}
    wrong = set()
    for request in reading.log:
        operation, limits = operations.get(request.operation), request.values("limit")
        if operation is None or (request.operation == f"{V2}/spaces" and limits == ["1"]):
            continue  # one space represents the site
        most = operation.limit_max
        if request.operation.endswith("/versions") and request.values("body-format"):
            most = 50
        large = limits and (
            limits == [str(most)] or (operation.limit_over == "cap" and int(limits[0]) > most)
        )
        if not large:
            wrong.add((request.operation, *limits))
    assert wrong == set()


@lru_cache(maxsize=1)
def official() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the query parameters of every GET that the official documents declare."""
    found = {}
    for version, prefix in (("v1", ""), ("v2", V2)):
        text = (SHARED / "openapi" / f"confluence-{version}.json").read_text(encoding="utf-8")
        document = json.loads(text)
        known = document["components"].get("parameters", {})
        for path, block in document["paths"].items():
            if "get" in block:
                parameters = [*block.get("parameters", []), *block["get"].get("parameters", [])]
                parameters = [known[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in parameters]
                found[prefix + path] = {p["name"]: p for p in parameters if p["in"] == "query"}
    return found


@pytest.mark.skipif(not SHARED.exists(), reason="the official documents are not part of the repository")
def test_the_official_documents_declare_every_request(reading: Reading) -> None:
    undeclared: set[tuple[str, ...]] = set()
    wrong: set[tuple[str, ...]] = set()
    for request in reading.log:
        declared = official().get(request.operation)
        if declared is None:
            undeclared.add((request.operation,))
            continue
        for name, value in request.query:
            if name not in declared:
                undeclared.add((request.operation, name))
            elif not allowed(declared[name].get("schema", {}), value):
                wrong.add((request.operation, name, value))
        needed = [name for name, declaration in declared.items() if declaration.get("required")]
        wrong |= {(request.operation, name) for name in needed if not request.values(name)}
    assert (undeclared, wrong) == (set(), set())


def allowed(schema: dict[str, Any], value: str) -> bool:
    """Return whether the official documents allow a value for a parameter."""
    if schema.get("type") == "array":
        items = value.split(",")
        return len(items) <= schema.get("maxItems", len(items)) and all(
            allowed(schema["items"], item) for item in items
        )
    if schema.get("type") == "integer":
        return value.isdigit() and int(value) <= schema.get("maximum", int(value))
    return value in schema.get("enum", [value])


# ---------------------------------------------------------------- Configuration


@pytest.mark.parametrize("name", BODIES)
def test_bodies_have_the_configured_format(whole: Reading, chosen: Reading, left: Reading, name: str) -> None:
    for found, wanted in ((whole, "storage"), (chosen, "atlas_doc_format"), (left, None)):
        with_body = [r for r in found.requested(name) if r.values("body-format")]
        assert {r.values("body-format")[0] for r in with_body} == ({wanted} if wanted else set())
        bodies = [record.get("body") or {} for record in found.output.records[name]]
        assert {key for body in bodies for key in body} == ({wanted} if wanted else set())


@pytest.mark.parametrize("name", ["rendered_pages", "rendered_blog_posts"])
def test_rendered_bodies_have_the_configured_format(
    whole: Reading, chosen: Reading, left: Reading, name: str
) -> None:
    for found, wanted in ((whole, "view"), (chosen, "styled_view"), (left, "export_view")):
        assert {key for record in found.output.records[name] for key in record["body"]} == {wanted}


@pytest.mark.parametrize("name", [name for name in VERSIONS if name != "attachment_versions"])
def test_versions_have_bodies_if_configured(whole: Reading, left: Reading, name: str) -> None:
    entities = {"page": "page", "blog": "blogpost", "custom": "custom"}
    entity = entities.get(name.partition("_")[0], "comment")
    requested = {(*r.values("limit"), *r.values("body-format")) for r in whole.requested(name)}
    formats = ["storage", "raw"] if entity == "custom" else ["storage"]
    assert requested == {("50", each) for each in formats}
    for each in formats:
        assert any(each in record[entity]["body"] for record in whole.output.records[name])
    assert {(*r.values("limit"), *r.values("body-format")) for r in left.requested(name)} == {("250",)}
    assert not any(record[entity].get("body") for record in left.output.records[name])


def test_custom_content_is_requested_by_its_configured_types(server: Server) -> None:
    names = [name for name in STREAMS if name.startswith("custom_content")]
    types = types_of(server.site)
    for chosen in (types, types[:1], []):
        server.log.clear()
        found = read(server, names, custom_content_types=chosen)
        assert {request.values("type")[0] for request in found.requested("custom_content")} == set(chosen)
        below = {r["customContentId"] for name in names[1:] for r in found.output.records[name]}
        kinds = {r["type"] for r in server.site.records("custom_content") if r["id"] in below}
        assert kinds == set(chosen)


def test_an_audit_event_keeps_its_id_when_its_author_is_renamed(whole: Reading, left: Reading) -> None:
    before, after = whole.output.records["audit"], left.output.records["audit"]
    assert {event["author"]["displayName"] for event in after} == {"Renamed"}
    assert {event["eventId"] for event in after} == {event["eventId"] for event in before}


def test_audit_events_of_the_same_millisecond_are_all_kept(whole: Reading) -> None:
    events = whole.output.records["audit"]
    timestamps = {event["creationDate"] for event in events}
    assert len(timestamps) < len({event["eventId"] for event in events}) == len(whole.site.records("audit"))


def test_audit_events_that_differ_only_in_who_acted_as_an_administrator_have_two_keys(server: Server) -> None:
    event = server.site.records("audit")[0]
    more = [{**event, name: not event[name]} for name in ("sysAdmin", "superAdmin")]
    server.site.collections["audit"] += more
    output = connector("read", config_for(server), select=["audit"])
    at = [it for it in output.records["audit"] if it["creationDate"] == event["creationDate"]]
    assert len({it["eventId"] for it in at}) == len(at) > len(more)


def test_each_named_user_is_looked_up_once_and_a_hundred_at_a_time() -> None:
    site = generate(pages=500, users=250)
    pages = site.records("pages")
    pages[0]["authorId"] = None
    pages[1]["authorId"] = "712020:deleted"
    with Server(site) as server:
        found = read(server, ["named_users"])
    requested = [request.values("accountId") for request in found.requested("named_users")]
    ids = [account for each in requested for account in each]
    named = {page["authorId"] for page in pages} | {page["version"]["authorId"] for page in pages}
    assert [len(each) for each in requested] == [100, 100, len(ids) - 200]
    assert sorted(ids) == sorted(named - {None})
    records = [record["accountId"] for record in found.output.records["named_users"]]
    assert sorted(records) == sorted(named - {None, "712020:deleted"})
    lists = [request for request in found.log if request.operation == f"{V2}/pages"]
    assert len(lists) == 2


# ---------------------------------------------------------------- Space filters


@pytest.fixture(params=["chosen", "left"])
def two_spaces(request: pytest.FixtureRequest) -> tuple[Reading, set[str]]:
    found: Reading = request.getfixturevalue(request.param)
    return found, {space["id"] for space in found.site.records("spaces") if space["key"] in KEPT}


def test_lists_are_requested_for_the_chosen_spaces(two_spaces: tuple[Reading, set[str]]) -> None:
    found, spaces = two_spaces
    lists = [r for r in found.log if r.operation in (f"{V2}/pages", f"{V2}/blogposts", f"{V2}/tasks")]
    groups = {
        (r.operation, tuple(sorted(",".join(r.values("space-id")).split(","))))
        for r in lists
        if not r.values("id")  # where comments and attachments are
    }
    one_list = {(f"{V2}/{name}", tuple(sorted(spaces))) for name in ("blogposts", "tasks")}
    # As a parent, `page_index` has one group; `pages` and `page_index` themselves have one for each space.
    assert groups - one_list == {
        (f"{V2}/pages", tuple(sorted(spaces))),
        *((f"{V2}/pages", (s,)) for s in spaces),
    }
    assert one_list <= groups


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({"space_keys": ["ENG", "NOPE"], "exclude_space_keys": ["GONE", "HW"]}, "NOPE, GONE"),
        ({"exclude_space_keys": ["NOPE"]}, "NOPE"),
    ],
)
def test_a_check_names_missing_spaces(server: Server, config: dict[str, Any], missing: str) -> None:
    connection = connector("check", config_for(server, **config)).connection
    assert connection["status"] == "FAILED"
    assert f"has the key {missing}." in connection["message"]


# ---------------------------------------------------------------- Changes during a read


@pytest.fixture(scope="module")
def vanishing(selected: list[str]) -> tuple[Reading, set[str]]:
    """Read all child streams; delete the first requested parent of each kind."""
    gone: set[str] = set()
    done: set[str] = set()

    def vanish(request: Request) -> None:
        operation, values = server.contract.find(request.path)
        if len(values) != 1 or request.operation in done or isinstance(operation, str) or operation is None:
            return
        (wanted,) = values.values()
        collections = operation.parents or operation.collections
        parents = [(c, r) for c in collections for r in server.site.find(c, operation.parent_field, wanted)]
        if any(collection == "spaces" and space["key"] in SCARCE for collection, space in parents):
            return
        # Two whiteboards and two databases have a level; each kind loses one, to the request for its level.
        kinds = {r.get("type") for _, r in parents if r.get("_classified") == "yes"}
        if kinds & {"whiteboard", "database"} and "classification" not in request.operation:
            return
        done.add(request.operation)
        for collection, record in parents:
            server.site.remove(collection, record["id"])
            gone.add(record["id"])

    with Server(company(small=True)) as server:
        server.before("", vanish)
        children = [name for name in selected if name in CHILDREN]
        found = read(server, children, version_bodies=True, custom_content_types=types_of(server.site))
    for collection in ("pages", "blog_posts"):
        gone |= {r["id"] for r in found.site.records(collection) if r["spaceId"] in gone}
    return found, gone


@pytest.mark.parametrize("name", CHILDREN)
def test_a_deleted_parent_is_skipped_and_the_others_are_read(
    whole: Reading, vanishing: tuple[Reading, set[str]], name: str
) -> None:
    found, gone = vanishing

    def remaining(reading: Reading) -> set[tuple[Any, ...]]:
        records = reading.output.records[name]
        kept = [r for r in records if gone.isdisjoint(v for v in r.values() if isinstance(v, str))]
        return {key_of(name, record) for record in kept if not record.get("start")}

    assert found.output.statuses[name] == "COMPLETE", found.output.errors
    answers = {request.status for request in found.requested(name)}
    assert 404 in answers, f"`parent` is missing in the operation of {name}, or its parents cannot vanish"
    assert remaining(found), f"records.yaml must give more than one parent of {name} a record"
    assert remaining(found) == remaining(whole)


@pytest.fixture(scope="module")
def revoked(selected: list[str]) -> Output:
    """Read all child streams with a credential that is revoked during the read."""
    v2 = b'{"errors":[{"status":404,"code":"NOT_FOUND","title":"Not Found","detail":null}]}'
    v1 = b'{"message":"Current user not permitted to use Confluence","statusCode":403}'
    with Server(company(small=True)) as server:
        children = [name for name in selected if name in CHILDREN]
        for operation in {o.path for name in children for o in STREAMS[name].operations}:
            status, body = (404, v2) if operation.startswith(V2) else (403, v1)
            # The two spaces have one whiteboard and one database.
            after = 0 if re.search("(whiteboards|databases)/{id}/class", operation) else 1
            server.fail(operation, times=None, after=after, status=status, body=body)
        server.fail(rf"{V2}/spaces\?limit=1$", times=None, status=404, body=v2)
        server.fail(f"{V1}/user/current", times=None, status=403, body=v1)
        types = types_of(server.site)
        return read(server, children, space_keys=list(KEPT), custom_content_types=types).output


@pytest.mark.parametrize("name", CHILDREN)
def test_a_revoked_credential_fails_every_child_stream(revoked: Output, name: str) -> None:
    assert revoked.statuses[name] == "INCOMPLETE"


def test_the_error_for_a_revoked_credential_names_the_settings(server: Server) -> None:
    requested: list[Request] = []

    def revoke(request: Request) -> None:
        requested.append(request)
        if len(requested) == 5:
            server.token = "another"

    server.before(f"{V2}/pages/{{id}}/likes/users", revoke)
    found = read(server, ["page_likes"]).output
    assert found.exit_code == 1
    assert found.statuses["page_likes"] == "INCOMPLETE"
    assert any("Check email and api_token" in error for error in found.errors)
