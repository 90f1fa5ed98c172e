"""The embedded site behaves as Confluence does; test_openapi.py compares it with the official documents."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from common.connector import ROOT, STREAMS
from fake_confluence import Server, Site, company, generate, load_contract
from unit_tests.client import Client, Reply, paths_of, queries_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES, SPACES = "/wiki/api/v2/pages", "/wiki/api/v2/spaces"
AUDIT, GROUP, SEARCH = "/wiki/rest/api/audit", "/wiki/rest/api/group", "/wiki/rest/api/search"
CONTENTS = "/wiki/rest/api/content/search"
OPERATIONS = {path: o for path, o in load_contract().operations.items() if o.method == "GET"}
CHECK = "/wiki/rest/api/content/{id}/permission/check"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(company()) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server)


@pytest.fixture(scope="module")
def site() -> Site:
    return company()


# Every operation


@pytest.mark.parametrize("path", [path for path, o in OPERATIONS.items() if o.limit_max])
def test_small_pages_give_the_same_records(path: str, site: Site) -> None:
    operation = OPERATIONS[path]
    targets, pages = paths_of(operation, site)[:30], 0
    with Server(site) as running:
        client = Client(running)
        for target in targets:
            for query in queries_of(operation, site):
                running.max_page = 0
                most = [*query, ("limit", str(operation.limit_max))]
                whole = client.read(target, most)
                running.max_page = 1 if "{" in path else 2
                running.log.clear()
                parts = client.read(target, most)
                pages = max(pages, len(running.log))
                if operation.paging == "principals":
                    whole, parts = principals(whole), principals(parts)
                assert parts == whole
    assert pages > 1


def principals(results: list[dict[str, Any]]) -> Any:
    """Return the users and groups of all restrictions, from any number of pages."""
    found: dict[str, list[str]] = {"read": [], "update": []}
    for result in results:
        parts = result["restrictions"]
        found[result["operation"]] += [user["accountId"] for user in parts["user"]["results"]]
        found[result["operation"]] += [group["id"] for group in parts["group"]["results"]]
    return {operation: sorted(names) for operation, names in found.items()}


@pytest.mark.parametrize("path", OPERATIONS)
def test_an_undeclared_parameter_is_refused_by_name(path: str, site: Site) -> None:
    with Server(site) as running:
        reply = Client(running).get(paths_of(OPERATIONS[path], site)[0], [("wrong", "1")])
    assert reply.status == 400
    assert "'wrong'" in json.dumps(reply.body)
    assert ("errors" in reply.body) == (OPERATIONS[path].api == "v2")


@pytest.mark.parametrize("path", OPERATIONS)
def test_a_wrong_token_gets_404_on_v2_and_403_on_v1(path: str, site: Site) -> None:
    with Server(site) as running:
        reply = Client(running, token="old").get(paths_of(OPERATIONS[path], site)[0])
    if OPERATIONS[path].api == "v2":
        error = {"status": 404, "code": "NOT_FOUND", "title": "Not Found", "detail": None}
        assert (reply.status, reply.body) == (404, {"errors": [error]})
    else:
        assert reply.status == 403
        assert reply.body["message"] == "Current user not permitted to use Confluence"


@pytest.mark.parametrize("path", [path for path in OPERATIONS if "{" in path])
def test_a_404_names_the_missing_object(path: str, site: Site) -> None:
    before, _, after = path.partition("{")
    with Server(site) as running:
        reply = Client(running).get(before + "999999999999" + after.partition("}")[2])
    assert reply.status == 404
    assert "999999999999" in json.dumps(reply.body)
    assert ("errors" in reply.body) == (OPERATIONS[path].api == "v2")


@pytest.mark.parametrize("path", [path for path, o in OPERATIONS.items() if o.limit_max])
def test_a_limit_above_the_maximum_is_refused_or_capped(path: str, site: Site) -> None:
    operation = OPERATIONS[path]
    query = [*queries_of(operation, site)[0], ("limit", str(operation.limit_max + 1))]
    with Server(site) as running:
        reply = Client(running).get(paths_of(operation, site)[0], query)
    assert reply.status == (400 if operation.limit_over == "refuse" else 200)


# v2 lists


def test_v2_next_link_has_the_form_of_real_sites(client: Client, server: Server) -> None:
    query = [("limit", "25"), ("sort", "-modified-date"), ("body-format", "storage")]
    ids = ",".join(space["id"] for space in server.site.records("spaces"))
    reply = client.get(PAGES, [*query, ("space-id", ids)])
    link, base = reply.body["_links"]["next"], f"{server.url}/wiki"
    assert link.startswith(f"{PAGES}?cursor=eyJ")
    assert link.endswith(f"&space-id={ids}&limit=25")
    assert "sort" not in link
    assert "body-format" not in link
    assert reply.body["_links"]["base"] == base
    assert reply.headers["link"] == f'<{link}>; rel="next", <{base}>; rel="base"'
    cursor = json.loads(base64.b64decode(link.partition("cursor=")[2].partition("&")[0]))
    assert list(cursor) == ["id", "contentOrder", "contentOrderValue"]
    assert "=&" in link, "the padding of the cursor must not be escaped"


def test_v2_last_page_has_no_next(client: Client) -> None:
    reply = client.get(SPACES, [("limit", "250")])
    assert "next" not in reply.body["_links"]
    assert 'rel="next"' not in reply.headers["link"]


@pytest.mark.parametrize("cursor", ["nonsense", "", "e30=", quote("/wiki/api/v2/pages?cursor=x")])
def test_v2_invalid_cursor_is_refused(client: Client, cursor: str) -> None:
    reply = client.get(PAGES, [("cursor", cursor)])
    assert reply.status == 400
    assert reply.body["errors"][0]["code"] == "INVALID_REQUEST_PARAMETER"
    assert "cursor" in reply.body["errors"][0]["title"]


def test_v2_cursor_of_another_order_is_refused(client: Client) -> None:
    link = client.get(PAGES, [("sort", "title")]).body["_links"]["next"]
    assert client.raw(link)[0] == 400


@pytest.mark.parametrize("given", ["space-id={},{}", "space-id={}&space-id={}"])
def test_v2_comma_separated_lists_can_be_repeated_too(client: Client, server: Server, given: str) -> None:
    ids = [space["id"] for space in server.site.records("spaces")[:2]]
    _, body, _ = client.raw(f"{PAGES}?limit=250&{given.format(*ids)}")
    assert {page["spaceId"] for page in json.loads(body)["results"]} == set(ids)


def test_v2_other_arrays_are_repeated(client: Client) -> None:
    assert client.get(PAGES, [("status", "current,trashed")]).status == 400
    assert client.get("/wiki/api/v2/tasks", [("space-id", "65654,65934")]).status == 400
    pages = client.read(PAGES, [("status", "current"), ("status", "trashed")])
    assert {page["status"] for page in pages} == {"current", "trashed"}


def test_v2_pages_are_current_and_archived_by_default(client: Client) -> None:
    assert {page["status"] for page in client.read(PAGES)} == {"current", "archived"}
    assert {post["status"] for post in client.read("/wiki/api/v2/blogposts")} == {"current"}
    assert {space["status"] for space in client.read(SPACES)} == {"current"}


def test_v2_space_filter_accepts_at_most_100_ids(client: Client, server: Server) -> None:
    space = server.site.records("spaces")[0]["id"]
    pages = client.read(PAGES, [("space-id", space), ("limit", "5")])
    assert pages
    assert {page["spaceId"] for page in pages} == {space}
    ids = ",".join(str(n) for n in range(101))
    assert client.get(PAGES, [("space-id", ids)]).status == 400


def test_v2_sorts_timestamps_with_and_without_milliseconds(client: Client) -> None:
    pages = client.read(PAGES, [("sort", "created-date")])
    times = [page["createdAt"] for page in pages]
    assert {len(at) for at in times} == {20, 24}
    exact = [at if len(at) == 24 else at[:19] + ".000Z" for at in times]
    assert exact == sorted(exact)
    newest = [page["version"]["createdAt"] for page in client.read(PAGES, [("sort", "-modified-date")])]
    assert newest == sorted(newest, reverse=True)


def test_v2_bodies_are_returned_only_on_request(client: Client) -> None:
    assert client.get(PAGES).body["results"][0]["body"] == {}
    for wanted in ("storage", "atlas_doc_format"):
        body = client.get(PAGES, [("body-format", wanted)]).body["results"][0]["body"]
        assert body[wanted]["representation"] == wanted
        assert body[wanted]["value"]
    page_id = client.get(PAGES).body["results"][0]["id"]
    single = client.get(f"{PAGES}/{page_id}", [("body-format", "styled_view")]).body
    assert single["body"]["styled_view"]["value"].startswith("<!DOCTYPE html>")
    assert client.get(PAGES, [("body-format", "view")]).status == 400


def test_v2_custom_content_has_a_raw_or_a_storage_body(client: Client) -> None:
    formats = ("raw", "storage", "atlas_doc_format")
    expected = {"survey:answer": ("storage", "atlas_doc_format"), "risks:risk": ("raw",)}
    for kind, given in expected.items():
        for wanted in formats:
            query = [("type", f"ac:com.norrvik.{kind}"), ("body-format", wanted)]
            bodies = [record["body"] for record in client.read("/wiki/api/v2/custom-content", query)]
            assert bodies
            assert all(list(body) == [wanted] * (wanted in given) for body in bodies)


@pytest.mark.parametrize("kind", ["labels", "content/labels"])
def test_v2_labels_of_a_space_have_the_prefix_my_or_team(client: Client, server: Server, kind: str) -> None:
    labels = [
        r for space in server.site.records("spaces") for r in client.read(f"{SPACES}/{space['id']}/{kind}")
    ]
    assert {label["prefix"] for label in labels} <= {"my", "team"}
    assert {label["prefix"] for label in server.site.records("labels")} > {"my", "team"}
    assert labels


def test_v2_spaces_have_icon_and_description_only_on_request(client: Client) -> None:
    plain = client.get(SPACES).body["results"][1]
    assert (plain["icon"], plain["description"]) == (None, None)
    full = client.get(SPACES, [("include-icon", "true"), ("description-format", "plain")])
    assert full.body["results"][1]["icon"]["path"]
    assert full.body["results"][1]["description"]["plain"]["value"]


def test_v2_flags_add_parts_to_a_single_page(client: Client, server: Server) -> None:
    page = next(page for page in server.site.records("pages") if page["_labels"])
    reply = client.get(f"{PAGES}/{page['id']}", [("include-labels", "true")])
    assert [label["id"] for label in reply.body["labels"]["results"]] == page["_labels"]
    assert "versions" not in reply.body


def test_v2_task_dates_filter_inclusively(client: Client, server: Server) -> None:
    tasks = server.site.records("tasks")
    at = sorted(task["completedAt"] for task in tasks if task["completedAt"])[3]
    timestamp = str(round(time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone))
    timestamp += at[20:23]
    found = client.read(
        "/wiki/api/v2/tasks", [("completed-at-from", timestamp), ("completed-at-to", timestamp)]
    )
    assert [task["completedAt"] for task in found] == [at]


# v1 lists


def test_v1_next_link_is_relative_to_wiki(client: Client, server: Server) -> None:
    reply = client.get(GROUP, [("limit", "3")])
    links = reply.body["_links"]
    assert links["next"] == "/rest/api/group?next=true&limit=3&start=3"
    assert (links["base"], links["context"]) == (f"{server.url}/wiki", "/wiki")
    assert (reply.body["start"], reply.body["limit"], reply.body["size"]) == (0, 3, 3)
    assert "next" not in client.get(GROUP).body["_links"]
    assert client.raw("/wiki" + links["next"])[0] == 200


def test_v1_audit_is_newest_first_between_inclusive_dates(client: Client) -> None:
    events = client.read(AUDIT)
    dates = [event["creationDate"] for event in events]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) > len(set(dates)), "some events must have the same millisecond"
    between = client.read(AUDIT, [("startDate", str(dates[50])), ("endDate", str(dates[10]))])
    assert between == [event for event in events if dates[50] <= event["creationDate"] <= dates[10]]


def test_v1_search_uses_a_cursor_and_has_short_pages(client: Client) -> None:
    query = [("cql", "type=folder"), ("limit", "3"), ("includeArchivedSpaces", "true")]
    sizes, place = [], ""
    while True:
        reply = client.raw(f"{SEARCH}?{urlencode([*query, ('start', '500')])}{place}")[1]
        body = json.loads(reply)
        sizes.append(body["size"])
        link = body["_links"].get("next")
        if link is None:
            break
        place = "&cursor=" + link.partition("cursor=")[2].partition("&")[0]
        assert "=" not in place.removeprefix("&cursor=")
    assert sum(sizes) == 7
    assert min(sizes[:-1]) < 3, "a page before the last must be short"


def test_v1_search_may_end_with_an_empty_page(client: Client) -> None:
    query = [("cql", "type=database"), ("limit", "2")]
    first = client.get(SEARCH, query).body
    assert first["size"] == 2
    assert "next" in first["_links"]
    assert len(client.read(SEARCH, query)) == 2


def test_v1_search_filters_by_space_and_excludes_archived_spaces(client: Client) -> None:
    some = client.read(SEARCH, [("cql", 'type=folder and space in ("ENG", "HW")')])
    assert {result["resultGlobalContainer"]["displayUrl"] for result in some} == {"/spaces/ENG", "/spaces/HW"}
    current = client.read(SEARCH, [("cql", "type=folder")])
    everything = client.read(SEARCH, [("cql", "type=folder"), ("includeArchivedSpaces", "true")])
    assert len(everything) == len(current) + 1


def test_v1_search_refuses_other_cql(client: Client) -> None:
    assert client.get(SEARCH, [("cql", "title ~ gauge")]).status == 400
    assert client.get(SEARCH, [("cql", "type=user")]).status == 400
    assert client.get(SEARCH).status == 400


def test_v1_watches_of_a_page_and_of_its_space_are_two_lists(client: Client, server: Server) -> None:
    page = server.site.get("pages", server.site.records("page_watchers")[0]["contentId"])
    own = client.read(f"/wiki/rest/api/content/{page['id']}/notification/child-created")
    space = client.read(f"/wiki/rest/api/content/{page['id']}/notification/created")
    assert {watch["contentId"] for watch in own} == {int(page["id"])}
    assert {watch["spaceKey"] for watch in space} == {server.site.get("spaces", page["spaceId"])["key"]}


def test_v1_search_for_users_excludes_guests_by_default(client: Client) -> None:
    def guests(*more: tuple[str, str]) -> set[bool]:
        found = client.read(f"{SEARCH}/user", [("cql", "type=user"), *more])
        return {result["user"]["isGuest"] for result in found}

    assert guests() == {False}
    assert guests(("sitePermissionTypeFilter", "externalCollaborator")) == {True}
    assert guests(("sitePermissionTypeFilter", "all")) == {False, True}


def test_v1_search_for_users_ends_at_10000() -> None:
    with Server(generate(pages=0, users=10_003)) as server:
        found = Client(server).read(f"{SEARCH}/user", [("cql", "type=user"), ("limit", "200")])
    assert len(found) == 10_000


def test_v1_users_are_looked_up_a_hundred_at_a_time() -> None:
    site = generate(pages=0, users=120)
    ids = [("accountId", user["accountId"]) for user in site.records("users")]
    with Server(site) as server:
        client = Client(server)
        found = client.read("/wiki/rest/api/user/bulk", [("accountId", "712020:unknown"), *ids])
        assert [user["accountId"] for user in found] == [account for _, account in ids[:99]]
        assert client.get("/wiki/rest/api/user/bulk").status == 400


def permission_site() -> Site:
    """Return a site with a closed space A, an anonymous space B and a space C for all users with a licence."""

    def user(name: str, kind: str = "none", **more: Any) -> dict[str, Any]:
        return {"accountId": name, "_permissionTypes": ["all", kind], "_groups": ["g"], **more}

    def permission(space: str, kind: str, principal: str, key: str = "read") -> dict[str, Any]:
        operation = {"key": key, "targetType": "space"}
        return {"principal": {"type": kind, "id": principal}, "operation": operation, "_spaceId": space}

    def page(page_id: str, space: str = "A", parent: str | None = None) -> dict[str, Any]:
        return {"id": page_id, "spaceId": space, "status": "current", "parentId": parent, "title": page_id}

    def named(content: str, *users: str, operation: str = "read", groups: list[str] = []) -> dict[str, Any]:  # noqa: B006 - not changed
        return {"operation": operation, "_contentId": content, "_users": list(users), "_groups": groups}

    return Site(
        {
            "spaces": [{"id": space, "key": space, "status": "current"} for space in "ABC"],
            "pages": [
                *(page("1"), page("2", parent="1"), page("3", parent="9"), page("4", "B"), page("5", "C")),
                {**page("6"), "status": "trashed"},
            ],
            "blog_posts": [{"id": "7", "spaceId": "A", "status": "current", "title": "7"}],
            "tree_items": [{"id": "9", "spaceId": "A", "status": "current", "parentId": None, "title": "9"}],
            "groups": [{"id": "g", "name": "g"}, {"id": "none", "name": "none"}],
            "users": [
                user("ann", _groups=[]),
                user("bob"),
                user("left", accountStatus="inactive"),
                user("guest", "externalCollaborator", _groups=[]),
                user("bot", accountType="app", _groups=[]),
            ],
            "space_roles": [{"id": "r", "spacePermissions": ["space/read"]}],
            "space_permissions": [
                *(
                    permission("A", "user", "ann"),
                    permission("A", "group", "g"),
                    permission("A", "group", "gone"),
                ),
                permission("A", "user", "bot", key="export"),
                permission("B", "access-class", "anonymous-users"),
                permission("C", "access-class", "all-licensed-users"),
            ],
            "space_role_assignments": [
                {
                    "principal": {"principalType": "USER", "principalId": "guest"},
                    "roleId": "r",
                    "_spaceId": "A",
                }
            ],
            "content_restrictions": [
                *(named("1", "ann", groups=["gone"]), named("2", "bob", "ann"), named("9", groups=["g"])),
                named("7", "ann", operation="update"),
            ],
        }
    )


@pytest.mark.parametrize(
    ("content", "readers"),
    [
        ("1", "ann"),
        ("2", "ann"),  # bob is not in the list of the page above
        ("3", "bob g"),  # the folder above names the group
        ("4", "ann anonymous bob bot g guest none"),
        ("5", "ann bob bot"),
        ("7", "ann bob g guest"),  # only updates are restricted
    ],
)
def test_a_permission_check_knows_space_permissions_and_restrictions(content: str, readers: str) -> None:
    with Server(permission_site()) as running:
        found = []
        for kind, names in (("user", "ann bob left guest bot anonymous"), ("group", "g none")):
            for name in names.split():
                asked = {"subject": {"type": kind, "identifier": name}, "operation": "read"}
                reply = Client(running).post(CHECK.replace("{id}", content), asked)
                assert reply.status == 200
                assert reply.body["hasPermission"] == (reply.body["errors"] == [])
                found += [name] * reply.body["hasPermission"]
    assert sorted(found) == readers.split()


def test_a_guest_of_several_spaces_reads_none_of_them() -> None:
    site = permission_site()
    ann = {"subject": {"type": "user", "identifier": "guest"}, "operation": "read"}
    site.records("space_role_assignments").append(
        {**site.records("space_role_assignments")[0], "_spaceId": "C"}
    )
    with Server(site) as running:
        replies = [Client(running).post(CHECK.replace("{id}", content), ann).body for content in "754"]
    assert [reply["hasPermission"] for reply in replies] == [False, False, True]


@pytest.mark.parametrize(
    ("content", "asked", "status"),
    [
        ("1", {"subject": {"type": "user", "identifier": "nobody"}, "operation": "read"}, 400),
        ("1", {"subject": {"type": "user"}, "operation": "read"}, 400),
        ("1", [], 400),
        ("6", {"subject": {"type": "user", "identifier": "ann"}, "operation": "read"}, 404),
        ("99", {"subject": {"type": "user", "identifier": "ann"}, "operation": "read"}, 404),
    ],
)
def test_an_invalid_permission_check_is_refused(content: str, asked: Any, status: int) -> None:
    with Server(permission_site()) as running:
        reply = Client(running).post(CHECK.replace("{id}", content), asked)
        assert reply.status == status
        assert Client(running).get(CHECK.replace("{id}", "1")).status == 405


def test_v1_restrictions_paginate_their_users_and_groups(client: Client, server: Server) -> None:
    most = max(server.site.records("content_restrictions"), key=lambda r: len(r["_users"]))
    path = f"/wiki/rest/api/content/{most['_contentId']}/restriction"
    first = client.get(path, [("limit", "500")]).body
    assert [result["operation"] for result in first["results"]] == ["read", "update"]
    assert first["limit"] == 200
    assert first["results"][0]["restrictions"]["user"]["size"] == 200
    assert "next" not in first["_links"], "the link is in the list that was cut"
    assert first["results"][0]["restrictions"]["user"]["_links"]["next"].endswith("start=200")
    second = client.get(path, [("limit", "200"), ("start", "200")]).body
    assert second["results"][0]["restrictions"]["user"]["size"] == 50
    assert "next" not in second["results"][0]["restrictions"]["user"]["_links"]


def test_v1_content_search_returns_the_expanded_parts(client: Client, server: Server) -> None:
    most = max(server.site.records("content_restrictions"), key=lambda r: len(r["_users"]))
    server.site.restore_page(most["_contentId"])
    parts = [f"restrictions.read.restrictions.{kind}" for kind in ("user", "group")]
    query = [("cql", 'type in (page, blogpost) and space in ("ENG", "OPS", "HW")')]
    plain = client.read(CONTENTS, query)
    assert {content["type"] for content in plain} == {"page", "blogpost"}
    assert not any({"space", "restrictions"} & set(content) for content in plain)
    (found,) = [
        content["restrictions"]
        for content in client.read(CONTENTS, [*query, ("expand", ",".join(parts))])
        if content["id"] == most["_contentId"]
    ]
    assert "update" not in found
    users = found["read"]["restrictions"]["user"]
    assert (len(users["results"]), users["limit"], "next" in users["_links"]) == (200, 200, True)
    assert client.get(CONTENTS, [*query, ("expand", "ancestors." + parts[0])]).status == 400


def test_v1_content_search_lacks_what_is_not_current_or_not_indexed(client: Client, server: Server) -> None:
    page = next(page for page in server.site.records("pages") if page["status"] == "current")
    query = [("cql", "type=page")]
    before = {content["id"] for content in client.read(CONTENTS, query)}
    archived = {space["id"] for space in server.site.records("spaces") if space["status"] == "archived"}
    current = [page for page in server.site.records("pages") if page["status"] == "current"]
    assert before == {page["id"] for page in current if page["spaceId"] not in archived}
    page["_indexed"] = False
    assert {content["id"] for content in client.read(CONTENTS, query)} == before - {page["id"]}


@pytest.mark.parametrize("path", ["content", "content/1", "space", "space/ENG"])
def test_v1_content_and_space_return_410(client: Client, path: str) -> None:
    reply = client.get(f"/wiki/rest/api/{path}")
    assert (reply.status, reply.body["statusCode"]) == (410, 410)
    assert "GoneException" in reply.body["message"]


def test_a_path_can_be_escaped(client: Client) -> None:
    plain = client.get("/wiki/rest/api/space/~ines/watch").body["results"]
    assert plain
    assert client.get("/wiki/rest/api/space/%7Eines/watch").body["results"] == plain


def test_an_url_above_8190_bytes_is_refused(client: Client) -> None:
    path = "/wiki/api/v2/spaces?keys="
    assert client.raw(path + "K" * (8190 - len(path)))[0] == 200
    assert client.raw(path + "K" * (8191 - len(path)))[0] == 414


def test_an_unknown_path_returns_404(client: Client) -> None:
    assert client.get("/wiki/api/v2/nothing").status == 404
    assert client.get("/elsewhere").status == 404


# Changes during a read


def test_a_page_edited_during_pagination_moves_to_the_front(client: Client, server: Server) -> None:
    query = [("sort", "-modified-date"), ("limit", "50")]
    before = [page["id"] for page in client.read(PAGES, query)]
    edited = before[120]
    calls: list[str] = []

    def edit_once(request: object) -> None:
        calls.append(str(request))
        if len(calls) == 2:
            server.site.edit_page(edited, title="Changed")

    server.before(PAGES, edit_once)
    during = [page["id"] for page in client.read(PAGES, query)]
    assert during == [page for page in before if page != edited]
    after = client.read(PAGES, query)
    assert (after[0]["id"], after[0]["title"]) == (edited, "Changed")
    versions = client.read(f"{PAGES}/{edited}/versions")
    assert versions[0]["number"] == after[0]["version"]["number"]


def test_an_empty_site_accepts_new_content() -> None:
    made = generate(pages=1, spaces=1)
    made.purge_page("1000000")
    with Server(made) as running:
        made.add_page("Again", space_id="1000")
        made.add_blog_post("First", space_id="1000")
        client = Client(running)
        assert [page["title"] for page in client.read(PAGES, [("body-format", "storage")])] == ["Again"]
        assert [post["title"] for post in client.read("/wiki/api/v2/blogposts")] == ["First"]


def test_changes_are_in_the_next_response(client: Client, server: Server) -> None:
    site = server.site
    space = site.add_space("New", key="NEW")
    page = site.add_page("Fresh", space_id=space["id"])
    inside = [("space-id", space["id"])]
    assert [each["title"] for each in client.read(PAGES, inside)] == ["Fresh"]
    site.archive_page(page["id"])
    assert client.read(PAGES, inside)[0]["status"] == "archived"
    site.trash_page(page["id"])
    assert client.read(PAGES, inside) == []
    assert client.get(f"{PAGES}/{page['id']}").body["status"] == "trashed"
    site.restore_page(page["id"])
    site.purge_page(page["id"])
    assert client.get(f"{PAGES}/{page['id']}").status == 404
    post = site.add_blog_post("Hello", space_id=space["id"])
    site.edit_blog_post(post["id"])
    assert client.read("/wiki/api/v2/blogposts", inside)[0]["version"]["number"] == 2
    site.trash_blog_post(post["id"])
    site.purge_blog_post(post["id"])
    assert client.read("/wiki/api/v2/blogposts", inside) == []


# Faults


def test_a_fault_affects_the_given_number_of_requests(client: Client, server: Server) -> None:
    server.fail(PAGES, status=429, headers={"Retry-After": "3"}, body=b"slow", after=1, times=2)
    assert client.raw(SPACES)[0] == 200
    responses = [client.raw(PAGES) for _ in range(4)]
    assert [response[0] for response in responses] == [200, 429, 429, 200]
    assert responses[1][1] == b"slow"
    assert responses[1][2]["retry-after"] == "3"
    assert [request.status for request in server.requests_to(PAGES)] == [200, 429, 429, 200]


def test_requests_above_the_rate_limit_get_429(client: Client, server: Server) -> None:
    server.rate = 2
    responses = [client.raw(SPACES) for _ in range(4)]
    assert [response[0] for response in responses] == [200, 200, 429, 429]
    assert responses[3][2]["retry-after"] == "1"
    server.rate = 3  # refused requests do not count
    assert [client.raw(SPACES)[0] for _ in range(2)] == [200, 429]


def test_a_fault_matches_an_operation_or_an_expression(client: Client, server: Server) -> None:
    page = server.site.records("pages")[0]["id"]
    server.fail(PAGES, status=503, times=None)
    assert client.raw(f"{PAGES}/{page}")[0] == 200
    assert client.raw(PAGES)[0] == 503
    server.heal()
    server.fail(rf"{PAGES}/\d+\?version", status=500)
    assert client.raw(PAGES)[0] == 200
    assert client.raw(f"{PAGES}/{page}?version=1")[0] == 500


def test_a_fault_can_change_the_body(client: Client, server: Server) -> None:
    server.fail(PAGES, body=lambda body: body.replace(b'"results"', b'"broken"'))
    assert "broken" in client.get(PAGES).body
    assert "results" in client.get(PAGES).body


def test_a_fault_can_redirect(client: Client, server: Server) -> None:
    server.fail(PAGES, how="redirect", headers={"Location": "https://example.org/"})
    status, body, headers = client.raw(PAGES)
    assert (status, body, headers["location"]) == (302, b"", "https://example.org/")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("drop", http.client.RemoteDisconnected),
        ("reset", ConnectionResetError),
        ("cut", http.client.IncompleteRead),
    ],
)
def test_a_fault_can_break_the_connection(
    client: Client, server: Server, how: str, error: type[Exception]
) -> None:
    server.fail(PAGES, how=how)
    with pytest.raises(error):
        client.raw(PAGES)
    assert client.raw(PAGES)[0] == 200


def test_a_fault_can_hang_or_drip(server: Server) -> None:
    for how in ("hang", "drip"):
        server.fail(GROUP, how=how, seconds=0.005)
    client = Client(server)
    client.connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        client.raw(GROUP)
    client.connection.timeout = 600
    began = time.monotonic()
    status, body, _ = client.raw(f"{GROUP}?limit=1")
    assert status == 200
    assert time.monotonic() - began > 0.005 * (len(body) - 1)


def test_an_unknown_kind_of_fault_is_refused(server: Server) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        server.fail(PAGES, how="sulk")


def test_a_denied_operation_returns_403(client: Client, server: Server) -> None:
    server.deny(AUDIT)
    reply = client.get(AUDIT)
    assert reply.status == 403
    assert "PermissionException" in reply.body["message"]
    assert client.get(GROUP).status == 200
    server.deny("/wiki/api/v2/space-roles")
    assert client.get("/wiki/api/v2/space-roles").body["errors"][0]["status"] == 403
    server.allow(AUDIT)
    assert client.get(AUDIT).status == 200


# The gateway and authentication


def basic(email: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()


def call(server: Server, target: str, authorization: str = "", form: str = "", kind: str = "") -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Authorization": authorization, "Content-Type": kind}
    connection.request("POST" if form else "GET", target, form or None, headers)
    response = connection.getresponse()
    body, found = response.read(), {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return Reply(response.status, json.loads(body) if "json" in found["content-type"] else body, found)


def at_gateway(server: Server, path: str) -> str:
    return f"/ex/confluence/{server.cloud_id}{path}"


def tokens(server: Server, **form: str) -> Reply:
    return call(server, "/oauth/token", form=urlencode(form), kind="application/x-www-form-urlencoded")


@pytest.mark.parametrize("path", [f"{PAGES}?limit=2", f"{GROUP}?limit=2"])
def test_the_gateway_returns_the_links_of_the_site(server: Server, client: Client, path: str) -> None:
    reply = call(server, at_gateway(server, path), basic(server.email, server.token))
    assert reply.body == client.get(path).body
    assert "/ex/confluence" not in reply.body["_links"]["next"]
    assert reply.body["_links"]["base"] == f"{server.url}/wiki"
    (through, _) = server.log
    assert (through.path, through.cloud_id) == (path.partition("?")[0], server.cloud_id)


def test_a_scoped_token_is_valid_only_at_the_gateway(server: Server) -> None:
    token = basic(server.email, server.scoped_token(["read:page:confluence"]))
    assert call(server, at_gateway(server, PAGES), token).status == 200
    refused = call(server, PAGES, token)
    assert (refused.status, refused.headers["content-type"]) == (401, "text/html;charset=utf-8")
    assert refused.body.startswith(b"<!doctype html>")
    other = basic("other@example.com", server.scoped_token(["read:page:confluence"]))
    assert call(server, at_gateway(server, PAGES), other).status == 404


@pytest.mark.parametrize(
    ("path", "scopes", "status"),
    [
        (PAGES, ["read:page:confluence"], 200),
        (PAGES, ["read:space:confluence", "read:confluence-content.all"], 401),
        (GROUP, ["read:confluence-groups"], 200),
        (GROUP, ["read:group:confluence"], 200),
        (f"{GROUP}/1/membersByGroupId", ["read:group:confluence"], 401),
        (f"{GROUP}/1/membersByGroupId", ["read:group:confluence", "read:user:confluence"], 404),
        (f"{PAGES}?wrong=1", ["read:space:confluence"], 401),
        (f"{PAGES}?wrong=1", ["read:page:confluence"], 400),
    ],
)
def test_scopes_are_checked_before_anything_else(
    server: Server, path: str, scopes: list[str], status: int
) -> None:
    token = basic(server.email, server.scoped_token(scopes))
    reply = call(server, at_gateway(server, path), token)
    assert reply.status == status
    if status == 401:
        assert reply.body == {"code": 401, "message": "Unauthorized; scope does not match"}
        assert reply.headers["x-failure-category"] == "FAILURE_CLIENT_SCOPE_CHECK"


def test_access_tokens_expire_after_some_requests_and_on_demand(server: Server) -> None:
    app = server.service_account(["read:page:confluence"])
    app.uses = 2
    ask = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    for expected in ([200, 200, 401], [200, 401]):
        reply = tokens(server, **ask)
        assert reply.body["expires_in"] == 3600
        assert "refresh_token" not in reply.body
        bearer, found = f"Bearer {reply.body['access_token']}", []
        for number in range(len(expected)):
            if len(expected) == 2 and number == 1:
                server.expire_tokens()
            found.append(call(server, at_gateway(server, PAGES), bearer))
        assert [reply.status for reply in found] == expected
        assert found[-1].body == {"code": 401, "message": "Unauthorized"}


@pytest.mark.parametrize("written", ["json", "form"])
def test_a_refresh_token_works_once(server: Server, written: str) -> None:
    app = server.oauth_app(["read:page:confluence"])
    first = app.refresh_token
    form = {
        "grant_type": "refresh_token",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": first,
    }
    if written == "json":
        reply = call(server, "/oauth/token", form=json.dumps(form), kind="application/json")
    else:
        reply = tokens(server, **form)
    assert reply.status == 200
    assert reply.body["refresh_token"] == app.refresh_token != first
    assert call(server, at_gateway(server, PAGES), f"Bearer {reply.body['access_token']}").status == 200
    again = tokens(server, **form)
    invalid = {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}
    assert (again.status, again.body) == (403, invalid)
    assert [(r.refresh_token, r.status) for r in server.access.requests] == [(first, 200), (first, 403)]
    assert tokens(server, **{**form, "refresh_token": app.refresh_token}).status == 200


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"client_secret": "old"}, 401, "access_denied"),
        ({"client_id": "nobody"}, 401, "access_denied"),
        ({"grant_type": "client_credentials"}, 403, "unauthorized_client"),
    ],
)
def test_the_token_endpoint_refuses_other_clients(
    server: Server, wrong: dict[str, str], status: int, error: str
) -> None:
    app = server.oauth_app(["read:page:confluence"])
    form = {
        "grant_type": "refresh_token",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": app.refresh_token,
    }
    reply = tokens(server, **{**form, **wrong})
    assert (reply.status, reply.body["error"]) == (status, error)
    assert tokens(server, **form).status == 200


def test_the_gateway_serves_one_site_and_only_its_grants(server: Server) -> None:
    elsewhere = call(server, f"/ex/confluence/nowhere{PAGES}", basic(server.email, server.token))
    assert (elsewhere.status, elsewhere.body) == (404, {"code": 404, "message": "Not Found"})
    app = server.oauth_app(["read:page:confluence"], sites=["another"])
    bearer = f"Bearer {server.access.issue(app)}"
    assert call(server, at_gateway(server, PAGES), bearer).status == 403
    assert call(server, PAGES, bearer).status == 401
    assert call(server, at_gateway(server, PAGES), "Bearer made-up").status == 401


def test_the_cloud_id_needs_no_authentication(server: Server) -> None:
    assert call(server, "/_edge/tenant_info").body == {"cloudId": server.cloud_id}
    (info,) = Client(server).read("/wiki/rest/api/settings/systemInfo")
    assert info["cloudId"] == server.cloud_id


# The server


def test_the_log_contains_the_requests(client: Client, server: Server) -> None:
    client.raw(f"{PAGES}?status=current&status=archived&title=a%20b")
    (request,) = server.log
    assert (request.method, request.path, request.operation) == ("GET", PAGES, PAGES)
    assert request.query == [("status", "current"), ("status", "archived"), ("title", "a b")]
    assert request.values("status") == ["current", "archived"]
    assert request.status == 200
    assert request.headers["authorization"].startswith("Basic ")
    server.log.clear()
    assert server.requests_to(PAGES) == []


def test_latency_delays_each_response_separately() -> None:
    with Server(generate(pages=1, spaces=1), latency=0.1) as running:
        clients = [Client(running) for _ in range(100)]
        began = time.monotonic()
        for client in clients:
            client.connection.request("GET", PAGES)
        for client in clients:
            client.connection.getresponse().read()
        assert 0.1 <= time.monotonic() - began < 100 * 0.1


def test_responses_to_pipelined_requests_are_in_order(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=600) as sock:
        sock.sendall(
            f"GET {PAGES} HTTP/1.1\r\n\r\nGET {GROUP} HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
        )
        received = b""
        while part := sock.recv(65536):
            received += part
    assert received.index(b"HTTP/1.1 404") < received.index(b"HTTP/1.1 403")


def test_a_closed_server_refuses_connections() -> None:
    running = Server(generate(pages=1, spaces=1)).start()
    client = Client(running)
    assert client.raw(PAGES)[0] == 200
    running.close()
    with pytest.raises(OSError, match=r"refused|reset|closed"):
        Client(running).raw(PAGES)


def test_the_command_line_serves_a_generated_site() -> None:
    command = [sys.executable, "-m", "fake_confluence", "--port", "0", "--pages", "12", "--spaces", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
            assert "demo@example.com" in line
            assert "demo-token" in line
            running = Server(Site({}), port=port)
            assert len(Client(running).read(PAGES)) == 12
        finally:
            process.terminate()


# The data


def test_the_company_is_always_the_same(site: Site) -> None:
    assert company().collections == site.collections


def test_the_company_is_consistent(site: Site) -> None:
    people = {user["accountId"] for user in site.records("users")}
    spaces = {space["id"] for space in site.records("spaces")}
    places = {r["id"] for name in ("pages", "tree_items") for r in site.records(name)}
    labels = {label["id"] for label in site.records("labels")}
    for page in site.records("pages"):
        assert {page["authorId"], page["ownerId"], page["version"]["authorId"]} <= people
        assert page["spaceId"] in spaces
        assert page["parentId"] is None or page["parentId"] in places
        assert set(page["_labels"]) <= labels
        versions = site.find("page_versions", "_pageId", page["id"])
        assert [each["number"] for each in versions] == list(range(1, page["version"]["number"] + 1))
        assert versions[-1]["createdAt"] == page["version"]["createdAt"] <= site.now
    # Content states, for example, have the same ids in every space.
    unique = {o.collections[0] for s in STREAMS.values() if s.key == ["id"] for o in s.operations}
    for name in unique:
        ids = [record["id"] for record in site.records(name)]
        assert len(ids) == len(set(ids)), name


def test_a_generated_site_has_the_requested_size() -> None:
    made = generate(
        pages=1000, spaces=20, blog_posts=30, groups=5, users=7, audit_events=50,
        labels=4, comments=60, files=[10, 20], versions_per_page=3, body_bytes=4096, skew=0.4,
    )  # fmt: skip
    sizes = {name: len(records) for name, records in made.collections.items()}
    assert sizes == {
        "pages": 1000,
        "spaces": 20,
        "blog_posts": 30,
        "groups": 5,
        "users": 7,
        "audit": 50,
        "labels": 4,
        "attachments": 2,
        "footer_comments": 60,
        "page_versions": 3000,
    }
    pages = made.records("pages")
    assert sum(page["spaceId"] == made.records("spaces")[0]["id"] for page in pages) == 400 + 30
    assert len(pages[0]["_body"]["storage"]) == 4096
    assert pages[0]["_body"] is pages[-1]["_body"]
