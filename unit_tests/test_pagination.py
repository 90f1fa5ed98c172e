"""Every page is requested, with the original parameters, and only from the site itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import STREAMS, Output, config_for, connector
from fake_confluence import Request, Server, company, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

# No other stream has these as parents: the CDK would return the same URL from its cache forever.
TASKS, USERS, SEARCH = "/wiki/api/v2/tasks", "/wiki/rest/api/search/user", "/wiki/rest/api/search"
# Each kind of pagination, with the parameters that choose the records of a page.
PAGED: dict[str, dict[str, str | list[str]]] = {
    "space": {"limit": "250", "description-format": "plain", "include-icon": "true"},
    "pages": {
        "limit": "250",
        "status": ["current", "archived"],
        "sort": "modified-date",
        "body-format": "storage",
    },
    "page_index": {
        "limit": "250",
        "status": ["current", "archived", "trashed", "deleted"],
        "sort": "id",
    },
    "blog_posts": {"limit": "250", "sort": "modified-date", "body-format": "storage"},
    "attachments": {"limit": "250", "status": ["current", "archived", "trashed"], "sort": "modified-date"},
    "footer_comments": {"limit": "250", "sort": "modified-date", "body-format": "storage"},
    "tasks": {"limit": "250", "body-format": "storage"},
    "labels": {"limit": "250", "sort": "id"},
    "page_versions": {"limit": "50", "body-format": "storage"},
    "tree_item_index": {"limit": "250"},
    "content_restrictions": {
        "limit": "250",
        "expand": "space,restrictions.read.restrictions.user,restrictions.read.restrictions.group,"
        "restrictions.update.restrictions.user,restrictions.update.restrictions.group",
    },
    "users": {"limit": "200", "cql": "type=user"},
    "group": {"limit": "200"},
    "audit": {"limit": "1000"},
}


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server(company(small=True)) as running:
        yield running


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    yield site
    site.heal()
    site.log.clear()


@pytest.fixture(scope="module")
def requested() -> dict[str, list[Request]]:
    """Return the requests of each stream to a site with three records per page."""
    with Server(company(small=True), max_page=3) as small:
        output = connector("read", config_for(small, version_bodies=True), select=PAGED)
        assert (output.exit_code, output.errors) == (0, [])
        log = list(small.log)
    # If no space is chosen, one space represents the site: that request belongs to no stream.
    log = [request for request in log if request.values("limit") != ["1"]]
    # `pages`, `page_index` and the parents of versions request the same list.
    by_stream = {
        name: [request for request in log if request.operation == STREAMS[name].operations[0].path]
        for name in PAGED
    }
    for name in ("pages", "page_index"):
        status = PAGED[name]["status"]
        by_stream[name] = [
            request
            for request in by_stream[name]
            if request.values("status") == status and bool(request.values("body-format")) == (name == "pages")
        ]
    return by_stream


def without_cursor(request: Request) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the path and the query of a request, without cursor and offset."""
    return request.path, tuple(pair for pair in sorted(request.query) if pair[0] not in ("cursor", "start"))


def is_first(request: Request) -> bool:
    return not request.values("cursor") and not request.values("start")


@pytest.mark.parametrize("name", PAGED)
def test_every_page_is_requested_with_the_original_parameters(
    requested: dict[str, list[Request]], name: str
) -> None:
    first = {without_cursor(request) for request in requested[name] if is_first(request)}
    later = [without_cursor(request) for request in requested[name] if not is_first(request)]
    assert later, "all records are on one page"
    assert set(later) <= first


@pytest.mark.parametrize("name", PAGED)
def test_every_page_is_requested_with_the_largest_size(
    requested: dict[str, list[Request]], name: str
) -> None:
    wanted = {key: value if isinstance(value, list) else [value] for key, value in PAGED[name].items()}
    assert requested[name]
    assert all({key: request.values(key) for key in wanted} == wanted for request in requested[name])


def test_a_configured_page_size_is_requested(server: Server) -> None:
    connector("read", config_for(server, page_size=7), select=["tasks", "group", "audit"])
    assert [request.values("limit") for request in server.requests_to(TASKS)][:2] == [["7"], ["7"]]
    assert {tuple(request.values("limit")) for request in server.requests_to("/wiki/rest/api/group[?]")} == {
        ("7",)
    }
    assert {tuple(request.values("limit")) for request in server.requests_to("/wiki/rest/api/audit")} == {
        ("28",)
    }


# Next-page links


def respond(server: Server, operation: str, body: dict[str, Any]) -> None:
    """Set the next response of an operation; several calls queue several responses."""
    server.fail(operation, times=1, status=200, body=json.dumps(body).encode())


def task(number: int) -> dict[str, Any]:
    return {"id": str(number), "status": "incomplete"}


def found(number: int) -> dict[str, Any]:
    return {"user": {"type": "known", "accountId": f"account-{number}"}, "entityType": "user"}


# The next link, and the cursor to send; the cursors contain every character that can be escaped.
LINKS = {
    # This plus sign is a plus sign, not a space.
    "first and bare": ("{path}?cursor=a0+/==&limit=250", "a0+/=="),
    "last and bare": ("{path}?limit=250&cursor=a1/b==", "a1/b=="),
    "escaped": ("{path}?limit=250&cursor=a2%2Bb%2Fc%3D%3D&prefix=global", "a2+b/c=="),
    "escaped in small letters": ("{path}?cursor=a3%2bb%2fc%3d%3d", "a3+b/c=="),
    "after a name that ends alike": ("{path}?last-cursor=no&cursor=a4=", "a4="),
    "before a fragment": ("{path}?cursor=a5=#cursor=no", "a5="),
    "absolute": ("http://{other}{path}?cursor=a6=&limit=1", "a6="),
    "without a scheme": ("//{other}{path}?cursor=a7=", "a7="),
    "to nowhere": ("?cursor=a8=", "a8="),
}


@pytest.fixture(scope="module")
def followed(site: Server) -> Iterator[tuple[Server, Server, Output]]:
    """Read tasks along all links; every third page is empty, the others have one record."""
    with Server(company(small=True)) as other:
        for number, (link, _) in enumerate(LINKS.values()):
            target = link.format(path=TASKS, other=f"127.0.0.1:{other.port}")
            results = [] if number % 3 == 1 else [task(number)]
            respond(site, TASKS, {"results": results, "_links": {"next": target}})
        respond(site, TASKS, {"results": [task(99)], "_links": {"next": None}})
        site.log.clear()
        output = connector("read", config_for(site), select=["tasks"])
        log = list(site.log)
        site.heal()
        site.log[:] = log
        yield site, other, output


@pytest.fixture(scope="module")
def cursors(followed: tuple[Server, Server, Output]) -> list[list[str]]:
    return [request.values("cursor") for request in followed[0].requests_to(TASKS)]


@pytest.mark.parametrize("form", LINKS)
def test_the_cursor_is_taken_from_the_link(cursors: list[list[str]], form: str) -> None:
    assert cursors[1 + list(LINKS).index(form)] == [LINKS[form][1]]


def test_a_short_or_an_empty_page_with_a_link_is_not_the_end(
    followed: tuple[Server, Server, Output], cursors: list[list[str]]
) -> None:
    output = followed[2]
    assert (output.exit_code, output.errors) == (0, [])
    assert len(cursors) == len(LINKS) + 1
    assert [record["id"] for record in output.records["tasks"]] == ["0", "2", "3", "5", "6", "8", "99"]


def test_a_link_that_is_only_in_the_header_is_followed() -> None:
    def without_link(body: bytes) -> bytes:
        return json.dumps({"results": json.loads(body)["results"]}).encode()

    with Server(generate(pages=30, spaces=1), max_page=7) as server:
        server.fail("/wiki/api/v2/pages", times=None, body=without_link)
        output = connector("read", config_for(server), select=["pages"])
    assert (output.exit_code, len(output.records["pages"])) == (0, 30)


def test_no_other_host_gets_a_request(followed: tuple[Server, Server, Output]) -> None:
    site, other, _ = followed
    assert other.log == []
    assert {request.headers["host"] for request in site.log} == {f"127.0.0.1:{site.port}"}


def test_the_offset_follows_from_the_rows_of_a_page_with_a_link(server: Server) -> None:
    links = [
        "/rest/api/search/user?next=true&limit=200&start=200",
        "http://127.0.0.1:1/wiki/rest/api/search/user?start=400&limit=1",
        "//127.0.0.1:1/rest/api/search/user?limit=1&start=600",
    ]
    match = f"{USERS}[?].*=none"
    for number, link in enumerate(links):
        results = [found(number)]
        respond(server, match, {"results": results, "start": number, "limit": 200, "_links": {"next": link}})
    respond(server, match, {"results": [found(3)], "_links": {}})
    output = connector("read", config_for(server), select=["users"])
    assert output.exit_code == 0
    queries = [sorted(request.query) for request in server.requests_to(match)]
    kept = [("cql", "type=user"), ("limit", "200"), ("sitePermissionTypeFilter", "none")]
    assert queries == [kept, *(sorted([*kept, ("start", text)]) for text in "123")]
    assert {f"account-{n}" for n in range(4)} <= {user["accountId"] for user in output.records["users"]}


def test_a_full_page_without_a_link_is_not_the_end_of_a_list_with_offsets(server: Server) -> None:
    def without_links(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "_links": {}}).encode()

    whole = connector("read", config_for(server), select=["group_members"]).records["group_members"]
    server.fail("/membersByGroupId", times=None, body=without_links)
    output = connector("read", config_for(server, page_size=2), select=["group_members"])
    assert (output.exit_code, output.errors) == (0, [])
    members = [
        sorted((it["groupId"], it["accountId"]) for it in each)
        for each in (output.records["group_members"], whole)
    ]
    assert members[0] == members[1]


def test_a_full_page_that_does_not_say_where_it_starts_is_not_the_end(server: Server) -> None:
    def bare(body: bytes) -> bytes:
        return json.dumps({"results": json.loads(body)["results"], "limit": 2}).encode()

    server.fail("/rest/api/group[?]", times=None, body=bare)
    output = connector("read", config_for(server, page_size=2), select=["group"])
    assert output.statuses == {"group": "INCOMPLETE"}
    assert "leads nowhere" in output.errors[0]


def test_a_page_size_of_one_loses_no_row_that_moves(server: Server) -> None:
    first, *others = list(server.site.records("groups"))

    def remove(_: Request) -> None:
        if first in server.site.records("groups"):
            server.site.remove("groups", first["id"])

    server.before("/rest/api/group[?].*start=", remove)
    output = connector("read", config_for(server, page_size=1), select=["group"])
    assert output.exit_code == 0
    assert {it["id"] for it in others} <= {it["id"] for it in output.records["group"]}


def test_an_empty_page_with_a_link_ends_a_search(server: Server) -> None:
    link = {"next": "/rest/api/search?next=true&cursor=_sa_abc%3D&limit=200&cql=type%3Dfolder"}
    folder = {"content": {"id": "1", "type": "folder", "status": "current", "title": "Plans"}}
    match = f"{SEARCH}[?].*type(=|%3D)folder"
    for results in ([folder], []):
        respond(server, match, {"results": results, "size": len(results), "_links": link})
    output = connector("read", config_for(server), select=["tree_item_index"])
    assert output.exit_code == 0
    sent = [request.values("cursor") for request in server.requests_to(match)]
    assert sent == [[], ["_sa_abc="]]
    assert [r["id"] for r in output.records["tree_item_index"] if r["type"] == "folder"] == ["1"]


def test_a_link_without_a_cursor_fails_the_stream(server: Server) -> None:
    respond(server, TASKS, {"results": [task(1)], "_links": {"next": f"{TASKS}?limit=250"}})
    respond(
        server,
        USERS,
        {"results": [found(1)], "_links": {"next": "/rest/api/search/user?next=true&limit=200"}},
    )
    output = connector("read", config_for(server), select=["tasks", "users", "group"])
    assert output.exit_code == 1
    assert output.statuses == {"tasks": "INCOMPLETE", "users": "INCOMPLETE", "group": "COMPLETE"}
    assert any("next-page link leads nowhere" in sentence for sentence in output.errors)


def test_a_link_to_the_same_page_fails_the_stream(server: Server) -> None:
    for _ in range(9):
        respond(server, TASKS, {"results": [task(1)], "_links": {"next": f"{TASKS}?cursor=again="}})
    output = connector("read", config_for(server), select=["tasks"])
    assert output.statuses == {"tasks": "INCOMPLETE"}
    assert len(server.requests_to(TASKS)) == 2
