"""What is missing is absent only if Confluence was asked for exactly that: lists, parents, credentials, spaces."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from common.connector import STREAMS, Output, config_for, connector
from fake_confluence import Request, Server, Site, company, generate
from source_confluence.components import requester

if TYPE_CHECKING:
    from collections.abc import Iterator

V1, V2 = "/wiki/rest/api", "/wiki/api/v2"
OF_STREAMS = f"{V2}|{V1}/(?!user/current)"
NAMELESS = b'{"errors":[{"status":404,"code":"NOT_FOUND","title":"Not Found","detail":null}]}'
NAMED = (
    b'{"errors":[{"status":404,"code":"NOT_FOUND","title":"Cannot find a page with id [1]","detail":null}]}'
)
# Words for a parent that an unwary reader would believe, in both forms of the API.
V1_NAMED = b'{"statusCode":404,"message":"No content with id : 1","data":{"errors":[]}}'


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait between retries."""
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=lambda _: None))


def read(server: Server, *names: str, state: Any = None, incremental: bool = True, **config: Any) -> Output:
    types = sorted({record["type"] for record in server.site.records("custom_content")})
    config = config_for(server, **({"custom_content_types": types} if types else {}), **config)
    output = connector("read", config, select=names, state=state, incremental=incremental)
    assert "Traceback" not in output.stderr
    return output


def ids(output: Output, stream: str, key: str = "id") -> set[str]:
    return {record[key] for record in output.records[stream]}


def unordered(output: Output) -> dict[str, list[str]]:
    return {name: sorted(map(json.dumps, records)) for name, records in output.records.items()}


def logged(output: Output) -> str:
    return "\n".join(message["log"]["message"] for message in output.messages if message["type"] == "LOG")


# Lists of spaces


FIRST_SPACE = rf"{V2}/spaces\?(?!.*cursor=)(?!.*ids=).*limit=1(&|$)"


def test_an_empty_page_of_spaces_is_not_a_site_without_spaces() -> None:
    """Confluence can cut a page before it leaves out what the account may not see."""
    names = ("blog_posts", "tasks", "tree_item_index", "page_labels", "content_templates", "custom_content")

    def first_is_hidden(body: bytes) -> bytes:
        return orjson.dumps({**orjson.loads(body), "results": []})

    with Server(company(small=True)) as server:
        usual = read(server, *names)
        server.fail(FIRST_SPACE, times=None, body=first_is_hidden)
        found = read(server, *names)
        assert set(found.statuses.values()) == {"COMPLETE"}
        assert server.requests_to("limit=1")
        for name in names:
            assert (
                ids(found, name, STREAMS[name].key[0]) == ids(usual, name, STREAMS[name].key[0]) != set()
            ), name


@pytest.mark.parametrize("where", ["body", "header"])
def test_an_empty_page_of_labels_is_not_a_label_that_is_gone(where: str) -> None:
    with Server(company(small=True)) as server:
        usual = read(server, "page_labels")
        server.fail(r"/labels/\d+/pages", times=1, status=404, body=NAMED)
        next_ = "/wiki/api/v2/labels?cursor=a"
        if where == "body":
            empty = orjson.dumps({"results": [], "_links": {"next": next_}})
            server.fail(r"/labels\?label-id", times=None, body=empty)
        else:
            header = {"Link": f'<{next_}>; rel="next"'}
            body = b'{"results":[],"_links":null}'
            server.fail(r"/labels\?label-id", times=None, body=body, headers=header)
        found = read(server, "page_labels")
        assert found.statuses == {"page_labels": "COMPLETE"}
        assert server.requests_to(r"/labels\?label-id")
        assert unordered(found) == unordered(usual)


def test_a_tree_item_is_asked_for_by_the_type_that_was_searched_for() -> None:
    """The documents name no type of content for a folder."""

    def typeless(body: bytes) -> bytes:
        found = orjson.loads(body)
        for n, result in enumerate(found["results"]):
            result["content"]["type"] = ("content", None)[n % 2]
        return orjson.dumps(found)

    names = ("tree_item_index", "tree_items", "tree_item_classification_levels")
    with Server(company(small=True)) as server:
        usual = read(server, *names)
        server.fail(f"{V1}/search", times=None, body=typeless)
        found = read(server, *names)
        assert set(found.statuses.values()) == {"COMPLETE"}
        assert unordered(found) == unordered(usual)


@pytest.mark.parametrize("timestamp", ["1807-01-01T00:00:00.000Z", "", "1 May 2024", None])
def test_below_a_comment_with_an_invalid_timestamp_is_what_is_below_it(timestamp: str | None) -> None:
    def dated(body: bytes) -> bytes:
        found = orjson.loads(body)
        for comment in found["results"]:
            comment["version"]["createdAt"] = timestamp
        return orjson.dumps(found)

    names = ("footer_comment_replies", "inline_comment_likes")
    with Server(company(small=True)) as server:
        usual = read(server, *names)
        assert all(usual.records[name] for name in names)
        server.fail(f"{V2}/(footer|inline)-comments\\?", times=None, body=dated)
        assert unordered(read(server, *names)) == unordered(usual)


# An edit during a read


def edit_oldest(server: Server, collection: str, list_: str) -> None:
    """Edit the oldest record before the response with the second page of a list."""
    requested: list[Request] = []

    def edit(request: Request) -> None:
        requested.append(request)
        if len(requested) == 2:
            site = server.site
            living = [r for r in site.records(collection) if r.get("status", "current") == "current"]
            site.tick(86_400)
            site.edit(collection, min(living, key=lambda r: str(r["version"]["createdAt"]))["id"])

    server.before(list_, edit)


def several_pages_of(collection: str) -> Site:
    site = generate(
        pages=30 if collection == "pages" else 5,
        spaces=1,
        blog_posts=30 if collection == "blog_posts" else 0,
        comments=30 if "comments" in collection else 0,
        files=[1] * 30 if collection == "attachments" else [],
        versions_per_page=1,
    )
    site.collections.setdefault("content_restrictions", [])
    if collection == "inline_comments":
        site.collections["inline_comments"] = site.collections.pop("footer_comments")
    return site


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("start_date", ["", "2020-01-01"])
@pytest.mark.parametrize(
    ("stream", "collection", "list_"),
    [
        ("pages", "pages", f"{V2}/pages"),
        ("page_index", "pages", f"{V2}/pages"),
        ("blog_posts", "blog_posts", f"{V2}/blogposts"),
        ("blog_post_index", "blog_posts", f"{V2}/blogposts"),
        ("attachments", "attachments", f"{V2}/attachments"),
        ("footer_comments", "footer_comments", f"{V2}/footer-comments"),
        ("inline_comments", "inline_comments", f"{V2}/inline-comments"),
    ],
)
def test_a_first_read_has_every_record_although_one_is_edited_meanwhile(
    stream: str, collection: str, list_: str, start_date: str, *, incremental: bool
) -> None:
    with Server(several_pages_of(collection), max_page=10) as server:
        edit_oldest(server, collection, list_)
        output = read(server, stream, incremental=incremental, start_date=start_date)
        assert output.exit_code == 0
        assert len(server.requests_to(list_)) > 2
        assert ids(output, stream) == {record["id"] for record in server.site.records(collection)}


@pytest.mark.parametrize(
    ("stream", "key", "collection", "list_", "child"),
    [
        ("page_restrictions", "pageId", "pages", rf"{V2}/pages\?", "/content/([0-9]+)/restriction"),
        ("page_versions", "pageId", "pages", rf"{V2}/pages\?", "/pages/([0-9]+)/versions"),
        (
            "footer_comment_likes",
            "",
            "footer_comments",
            r"/footer-comments\?",
            "/footer-comments/([0-9]+)/likes",
        ),
        (
            "footer_comment_replies",
            "",
            "footer_comments",
            r"/footer-comments\?",
            "/footer-comments/([0-9]+)/child",
        ),
        ("attachment_versions", "", "attachments", r"/attachments\?", "/attachments/(att[0-9]+)/versions"),
    ],
)
def test_every_parent_is_asked_although_one_is_edited_meanwhile(
    stream: str, key: str, collection: str, list_: str, child: str
) -> None:
    with Server(several_pages_of(collection), max_page=10) as server:
        edit_oldest(server, collection, list_)
        output = read(server, stream)
        assert (output.exit_code, output.errors) == (0, [])
        asked = {found[1] for r in server.log if (found := re.search(child, r.target))}
        living = {
            r["id"]
            for r in server.site.records(collection)
            if r.get("status", "current") in ("current", "archived")
        }
        assert asked == living
        assert not key or ids(output, stream, key) == living


def test_an_edit_during_an_incremental_read_arrives_with_the_next() -> None:
    with Server(generate(pages=60, spaces=1), max_page=10) as server:
        first = read(server, "pages")
        for page in server.site.records("pages")[:30]:
            server.site.edit("pages", page["id"], at=server.site.tick(3600))
        edit_oldest(server, "pages", rf"{V2}/pages\?")
        second = read(server, "pages", state=first.state)
        server.heal()
        third = read(server, "pages", state=second.state)
        latest = {r["id"]: r["version"] for o in (first, second, third) for r in o.records["pages"]}
        assert latest == {r["id"]: r["version"] for r in server.site.records("pages")}


# The end of an incremental list


@pytest.mark.parametrize(
    "spoiled",
    [None, {}, {"number": 2, "createdAt": None}, {"number": 2, "createdAt": "1970"}, {"createdAt": "soon"}],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_record_without_a_date_hides_no_change(spoiled: Any, place: int) -> None:
    with Server(generate(pages=40, spaces=1), max_page=5) as server:
        first = read(server, "pages")
        changed = [page["id"] for page in server.site.records("pages")[:20]]
        server.site.tick(30 * 86_400)
        for page_id in changed:
            server.site.edit("pages", page_id, at=server.site.tick(3600))
        victim = changed[::-1][place]

        def spoil(body: bytes) -> bytes:
            page = orjson.loads(body)
            for record in page["results"]:
                if record["id"] == victim:
                    record["version"] = spoiled
            return orjson.dumps(page)

        server.fail(rf"{V2}/pages\?", times=None, body=spoil)
        second = read(server, "pages", state=first.state)
        assert (second.exit_code, second.errors) == (0, [])
        assert ids(second, "pages") >= set(changed)


def test_an_unchanged_list_is_read_with_one_request() -> None:
    with Server(generate(pages=60, spaces=1), max_page=10) as server:
        first = read(server, "pages")
        server.log.clear()
        second = read(server, "pages", state=first.state)
        assert len(server.requests_to(f"{V2}/pages")) == 1
        assert len(second.records["pages"]) <= 10


def test_a_resolved_inline_comment_arrives() -> None:
    with Server(company(small=True)) as server:
        first = read(server, "inline_comments")
        comments = server.site.records("inline_comments")
        resolved = comments[len(comments) // 2]
        resolved["resolutionLastModifiedAt"] = server.site.tick(86_400)
        resolved["resolutionStatus"] = "resolved"
        server.site.changed("inline_comments")
        second = read(server, "inline_comments", state=first.state)
        (record,) = [r for r in second.records["inline_comments"] if r["id"] == resolved["id"]]
        assert record["updatedAt"] == resolved["resolutionLastModifiedAt"]


# Lists with offsets

MOVING = [
    ("group", f"{V1}/group", "groups"),
    ("users", f"{V1}/search/user", "users"),
    ("group_members", f"{V1}/group/{{groupId}}/membersByGroupId", "users"),
    ("audit", f"{V1}/audit", "audit"),
]


def crowded() -> Site:
    site = generate(pages=1, spaces=1, groups=450, users=450, audit_events=2_500)
    for user in site.records("users"):
        user["_groups"] = [site.records("groups")[0]["id"]]
    site.changed("users")
    return site


@pytest.mark.parametrize("removed", [1, 5])
@pytest.mark.parametrize(("stream", "operation", "collection"), MOVING, ids=[each[0] for each in MOVING])
def test_rows_that_disappear_hide_no_other_row(
    stream: str, operation: str, collection: str, removed: int
) -> None:
    with Server(crowded()) as server:
        before = len(server.site.records(collection))

        def remove(request: Request) -> None:
            if request.values("start") and len(server.site.records(collection)) == before:
                del server.site.records(collection)[3 : 3 + removed]
                server.site.changed(collection)

        server.before(operation, remove)
        output = read(server, stream)
        assert (output.exit_code, output.errors) == (0, [])
        held = [key_of_row(stream, row) for row in server.site.records(collection)]
        assert {key_of_row(stream, r) for r in output.records[stream]} >= set(held)
        assert len(held) > 400


def key_of_row(stream: str, row: dict[str, Any]) -> Any:
    names = {"audit": ("creationDate", "summary"), "group": ("id",)}.get(stream, ("accountId",))
    return tuple(row.get(name) for name in names)


def test_a_list_whose_rows_always_move_fails() -> None:
    with Server(crowded()) as server:

        def remove(request: Request) -> None:
            if request.values("start"):
                del server.site.records("groups")[:3]
                server.site.changed("groups")

        server.before(f"{V1}/group", remove)
        output = read(server, "group")
        assert output.statuses == {"group": "INCOMPLETE"}
        assert "moved" in output.errors[0]


def test_a_list_without_moving_rows_has_each_record_once_and_no_further_request() -> None:
    with Server(crowded()) as server:
        output = read(server, "group", "users")
        assert len(ids(output, "group")) == len(output.records["group"]) == 450
        assert len(ids(output, "users", "accountId")) == len(output.records["users"]) == 450
        assert len(server.requests_to(f"{V1}/group")) == 3
        assert len(server.requests_to(f"{V1}/search/user")) == 4  # the last one for guests


@pytest.mark.parametrize("most", [1, 2, 7])
def test_a_server_that_lowers_the_limit_and_counts_by_what_was_asked_loses_nothing(most: int) -> None:
    """The next link of such a server is behind rows that it did not return."""
    with Server(generate(pages=1, spaces=1, groups=20, users=2), max_page=most) as server:

        def skip(body: bytes) -> bytes:
            page = orjson.loads(body)
            if "next" in page["_links"]:
                page["_links"]["next"] = f"/rest/api/group?limit=200&start={page['start'] + 200}"
            return orjson.dumps({**page, "limit": 200})

        server.fail(f"{V1}/group", times=None, body=skip)
        output = read(server, "group")
        assert (output.exit_code, len(ids(output, "group"))) == (0, 20)


# Parents

CHILDREN = [
    name
    for name, stream in STREAMS.items()
    if "child_errors" in json.dumps(stream.declared) or stream.parents
]
QUESTIONS = [
    ("space_permissions", r"/spaces/\d+/permissions", NAMED),
    ("space_properties", r"/spaces/\d+/properties", NAMELESS),
    ("page_restrictions", r"/content/\d+/restriction", V1_NAMED),
    ("page_properties", r"/pages/\d+/properties", NAMED),
    ("page_versions", r"/pages/\d+/versions", NAMED),
    ("rendered_pages", r"/pages/\d+\?", NAMED),
    ("blog_post_likes", r"/blogposts/\d+/likes", NAMELESS),
    ("attachment_versions", r"/attachments/att\d+/versions", NAMED),
    ("custom_content_labels", r"/custom-content/\d+/labels", NAMED),
    ("footer_comment_likes", r"/footer-comments/\d+/likes", NAMED),
    ("inline_comment_replies", r"/inline-comments/\d+/children", NAMELESS),
    ("tree_item_restrictions", r"/content/\d+/restriction", V1_NAMED),
    ("page_labels", r"/labels/\d+/pages", NAMED),
    ("group_members", "membersByGroupId", b'{"statusCode":404,"message":"No group with id 1"}'),
]


@pytest.mark.parametrize(("stream", "match", "body"), QUESTIONS, ids=[each[0] for each in QUESTIONS])
def test_a_404_below_parents_that_are_still_there_fails_the_stream(
    stream: str, match: str, body: bytes
) -> None:
    with Server(company(small=True)) as server:
        server.fail(match, times=None, status=404, body=body)
        output = read(server, stream, incremental=False)
        assert (output.exit_code, output.statuses) == (1, {stream: "INCOMPLETE"})
        sentence = output.errors[0]
        assert "still there" in sentence
        assert re.search("Confluence says: (Cannot find a page|Not Found|No content|No group)", sentence)
        assert re.search(r"It happened at (space [A-Z~]|[a-z ]+ [0-9a-f])", sentence)
        assert "deselect" in sentence


@pytest.mark.parametrize(("stream", "match", "body"), QUESTIONS, ids=[each[0] for each in QUESTIONS])
def test_a_404_that_is_wrong_once_costs_two_requests_and_no_record(
    stream: str, match: str, body: bytes
) -> None:
    with Server(company(small=True)) as server:
        whole = read(server, stream, incremental=False)
        before = len(server.requests_to(OF_STREAMS))
        server.fail(match, status=404, body=body)
        output = read(server, stream, incremental=False)
        assert (output.exit_code, output.errors) == (0, [])
        assert sorted(map(str, output.records[stream])) == sorted(map(str, whole.records[stream]))
        assert len(server.requests_to(OF_STREAMS)) - 2 * before <= 2


@pytest.mark.parametrize("stream", ["page_versions", "rendered_pages"])
def test_the_state_does_not_pass_a_parent_that_was_refused(stream: str) -> None:
    key = "pageId" if stream == "page_versions" else "id"
    with Server(generate(pages=40, spaces=2, versions_per_page=2)) as server:
        refused = server.site.records("pages")[5]["id"]
        server.fail(rf"/pages/{refused}(/versions|\?body)", times=2, status=404, body=NAMED)
        first = read(server, stream)
        assert (first.exit_code, first.statuses) == (1, {stream: "INCOMPLETE"})
        assert refused in first.errors[0]
        living = {r["id"] for r in server.site.records("pages") if r["status"] in ("current", "archived")}
        assert ids(first, stream, key) == living - {refused}
        server.site.edit("pages", server.site.records("pages")[7]["id"], at=server.site.tick(86_400))
        second = read(server, stream, state=first.state)
        assert second.exit_code == 0
        assert refused in ids(second, stream, key)


@pytest.mark.parametrize("status", ["purged", "trashed"])
def test_a_page_that_is_gone_is_skipped_with_a_line_in_the_log(
    status: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "airbyte")
    with Server(company(small=True)) as server:
        pages = [page["id"] for page in server.site.records("pages") if page["status"] == "current"]

        def vanish(request: Request) -> None:
            if pages[0] in request.target and pages[0] in {
                page["id"] for page in server.site.records("pages")
            }:
                if status == "purged":
                    server.site.purge_page(pages[0])
                else:
                    server.site.trash_page(pages[0])

        server.before("/restriction", vanish)
        output = read(server, "page_restrictions")
        assert (output.exit_code, output.errors) == (0, [])
        assert set(pages) - ids(output, "page_restrictions", "pageId") == {pages[0]}
        assert f"/content/{pages[0]}/restriction" in caplog.text
        assert "page_restrictions: 1 parents were skipped" in caplog.text
        assert len([r for r in server.log if pages[0] in r.target]) <= 3


def test_a_question_that_is_not_answered_fails_the_stream() -> None:
    with Server(company(small=True)) as server:
        page = server.site.records("pages")[0]["id"]
        server.fail(f"/content/{page}/restriction", times=None, status=404, body=V1_NAMED)
        server.fail(f"/pages/{page}$", times=None, status=403)
        output = read(server, "page_restrictions")
        assert output.statuses == {"page_restrictions": "INCOMPLETE"}


@pytest.mark.parametrize("public", [[], ["ENG"]], ids=["private site", "public spaces"])
@pytest.mark.parametrize(
    "stream", ["page_likes", "page_classification_levels", "tree_items", "group_members"]
)
def test_a_credential_that_is_revoked_during_a_read_deletes_nothing(
    stream: str, public: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requester, "BELIEVED_SECONDS", 0)
    with Server(company(small=True), public=public) as server:
        operation = STREAMS[stream].operations[0].path
        requested: list[Request] = []

        def revoke(request: Request) -> None:
            requested.append(request)
            if len(requested) == 2:
                server.token = "another"

        server.before(operation, revoke)
        output = read(server, stream)
        assert output.statuses == {stream: "INCOMPLETE"}
        assert any("Check email and api_token" in error for error in output.errors)


@pytest.mark.parametrize("is_public", ["said", "not said", "no longer said"])
@pytest.mark.parametrize("stream", ["pages", "page_index", "labels"])
def test_lists_that_a_revoked_credential_shortens_are_not_complete(stream: str, is_public: str) -> None:
    """Confluence goes on with what anonymous visitors can see, and neither a link nor an error shows it."""
    with Server(company(small=True), max_page=5, public=["ENG"]) as server:
        first = read(server, stream)
        if is_public == "not said":  # the second question who is asking has no credential
            server.fail("/user/current", times=1, after=1, status=404)
        if is_public == "no longer said":  # who is asking, once the read has begun
            server.fail("/user/current", times=None, after=3, status=404)
        for page in list(server.site.records("pages")):
            server.site.tick(60)
            server.site.edit_page(page["id"])
        requested: list[Request] = []

        def revoke(request: Request) -> None:
            requested.append(request)
            if len(requested) == 4:
                server.token = "another"

        token = server.token
        server.before(STREAMS[stream].operations[0].path, revoke)
        output = read(server, stream, state=first.state)
        assert output.statuses[stream] != "COMPLETE"
        assert any("does not know this credential" in error for error in output.errors)
        assert output.exit_code == 1
        server.heal()
        server.token = token
        again = read(server, stream, state=output.state or first.state)
        assert ids(output, stream) | ids(again, stream) == ids(first, stream)


def test_a_revoked_credential_is_named_beside_what_failed_before() -> None:
    with Server(company(small=True), max_page=5, public=["ENG"]) as server:
        server.fail("/space-roles|/space-permissions", times=None, status=500)
        requested: list[Request] = []

        def revoke(request: Request) -> None:
            requested.append(request)
            if len(requested) >= 4 and server.requests_to("/space-permissions"):
                server.token = "another"

        server.before(f"{V2}/pages", revoke)
        output = read(server, "space_permission_types", "page_index", _max_retries=0)
        assert any("5xx" in error for error in output.errors), output.errors
        assert "does not know this credential" in output.stderr


def test_where_nobody_says_any_more_who_is_asking_nothing_is_complete() -> None:
    with Server(company(small=True), max_page=5, public=["ENG"]) as server:
        server.fail("/user/current", times=None, after=3, status=500)
        output = read(server, "page_index", "labels", _max_retries=0)
        assert output.exit_code == 1
        assert "COMPLETE" not in output.statuses.values()
        assert "did not say whether it still knows the credential" in output.stderr
        server.heal()
        server.fail("/user/current", times=3, status=500)  # only at the start
        assert read(server, "labels", _max_retries=0).exit_code == 0


@pytest.mark.parametrize("body", [NAMED, NAMELESS], ids=["named", "nameless"])
def test_a_missing_level_stays_an_answer(body: bytes) -> None:
    with Server(company(small=True)) as server:
        server.fail("/classification-level", times=None, status=404, body=body)
        output = read(server, "page_classification_levels")
        assert (output.exit_code, output.errors, output.records) == (0, [], {})
        pages = len(server.requests_to("/classification-level"))
        assert len(server.requests_to(f"{V1}/user/current")) <= (12 if body == NAMED else pages + 2)


# Which children are requested for content of which status. Lists of comments have no parameter for it.
STATUSES = {
    "page": {"current", "archived"},
    "blog_post": {"current"},
    "attachment": {"current", "archived"},
    "tree_item": {"current"},
    "footer_comment": {"current"},
    "inline_comment": {"current"},
}
PATHS = {
    "page": r"/(?:pages|content)/([0-9]+)[/?]",
    "blog_post": r"/(?:blogposts|content)/([0-9]+)[/?]",
    "attachment": r"/attachments/(att[0-9]+)[/?]?",
    "tree_item": r"/(?:folders|whiteboards|databases|embeds|content)/([0-9]+)[/?]?",
    "footer_comment": r"/footer-comments/([0-9]+)/",
    "inline_comment": r"/inline-comments/([0-9]+)/",
}
COLLECTIONS = {
    "page": "pages",
    "blog_post": "blog_posts",
    "attachment": "attachments",
    "tree_item": "tree_items",
}


@pytest.fixture(scope="module")
def trashed() -> Iterator[Server]:
    """Read all children of a site on which a quarter of each kind of content is in the trash."""
    with Server(company(small=True)) as server:
        for kind in STATUSES:
            collection = COLLECTIONS.get(kind, f"{kind}s")
            for n, record in enumerate(server.site.records(collection)):
                if n % 4 == 0:
                    record["status"] = "deleted" if n % 8 and kind in ("page", "blog_post") else "trashed"
            server.site.changed(collection)
        selected = [name for name, stream in STREAMS.items() if stream.parents and name != "attachment_files"]
        output = connector("read", config_for(server), select=selected)
        assert (output.exit_code, output.errors) == (0, [])
        yield server


@pytest.mark.parametrize("kind", STATUSES)
def test_nothing_is_requested_below_content_in_the_trash(trashed: Server, kind: str) -> None:
    records = {r["id"]: r for r in trashed.site.records(COLLECTIONS.get(kind, f"{kind}s"))}
    versions = r"-comments/[0-9]+/versions"  # of comments: see the manifest
    asked = {
        found[1]
        for request in trashed.log
        if (found := re.search(PATHS[kind], request.target)) and not re.search(versions, request.target)
    }
    found_statuses = {records[each]["status"] for each in asked if each in records}
    assert found_statuses <= STATUSES[kind]
    assert "current" in found_statuses


# Credentials and spaces


@pytest.mark.parametrize("wrong", [{"api_token": "wrong"}, {"email": "nobody@example.com"}])
def test_an_anonymous_visitor_of_a_public_site_fails_the_check_and_the_read(wrong: dict[str, Any]) -> None:
    with Server(company(small=True), public=["ENG"]) as server:
        check = connector("check", config_for(server, **wrong)).connection
        assert check["status"] == "FAILED"
        assert "does not know this credential" in check["message"]
        server.log.clear()
        output = read(server, "space", "pages", "footer_comments", **wrong)
        assert output.exit_code == 1
        assert output.records == {}
        assert "Check email and api_token" in output.errors[0]
        assert [request.operation for request in server.log] == [f"{V1}/user/current"]


def test_a_token_without_the_scope_for_the_current_user_reads_on() -> None:
    with Server(company(small=True)) as server:
        token = server.scoped_token(["read:space:confluence"])
        credentials = {"auth_type": "scoped_api_token", "email": server.email, "api_token": token}
        config = {"domain_name": server.url, "credentials": {**credentials, "cloud_id": server.cloud_id}}
        output = connector("read", config, select=["space"])
        assert (output.exit_code, output.errors) == (0, [])
        assert len(output.records["space"]) == len(server.site.records("spaces"))
        assert [request.status for request in server.requests_to(f"{V1}/user/current")] == [401, 403]


def test_a_read_costs_three_requests_more() -> None:
    with Server(company(small=True)) as server:
        read(server, "tasks")
        asked = [request.operation for request in server.log]
        assert asked[:3] == [f"{V1}/user/current", f"{V2}/spaces", f"{V1}/user/current"]
        assert ["authorization" in request.headers for request in server.log[:3]] == [True, True, False]
        assert set(asked[3:]) == {f"{V2}/spaces", f"{V2}/tasks"}


def test_an_account_that_sees_no_space_fails_the_check_and_the_read() -> None:
    site = company(small=True)
    site.collections["spaces"] = []
    with Server(site) as server:
        check = connector("check", config_for(server)).connection
        assert (check["status"], "can see no space" in check["message"]) == ("FAILED", True)
        output = read(server, "space", "pages", "footer_comments")
        assert (output.exit_code, output.records) == (1, {})
        assert "can see no space" in output.errors[0]
        assert read(server, "group", "users").exit_code == 0


@pytest.mark.parametrize("setting", ["space_keys", "exclude_space_keys"])
@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_look_up_of_space_keys_that_fails_fails_the_read(setting: str, status: int) -> None:
    with Server(generate(pages=40, spaces=4)) as server:
        server.site.get("spaces", "1001").update(key="HR", currentActiveAlias="HR")
        server.site.changed("spaces")
        server.fail(f"{V2}/spaces", status=status, body=NAMELESS)
        chosen: dict[str, Any] = {setting: ["S1"]}
        output = read(server, "space", "pages", **chosen)
        assert (output.exit_code, output.records) == (1, {})
        assert "could not be looked up" in output.errors[0]


# Numbers


@pytest.mark.parametrize("number", [2**63, 123456789012345678901, -(2**70)])
def test_a_long_integer_arrives_as_written(number: int) -> None:
    with Server(company(small=True)) as server:
        server.fail(
            f"{V2}/tasks", body=lambda body: body.replace(b'"status":', b'"big":%d,"status":' % number, 1)
        )
        output = read(server, "tasks")
        assert [r["big"] for r in output.records["tasks"] if "big" in r] == [number]
