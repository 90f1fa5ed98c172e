"""Who may read and update content: in bulk as for each page, and never complete where a list may have been cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import Output, config_for, connector
from common.restrictions import EACH, LISTS, in_bulk, of_each
from fake_confluence import Server, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fake_confluence import Site

SEARCH, RESTRICTION = "/wiki/rest/api/content/search", "/wiki/rest/api/content/{id}/restriction"


def read(server: Server, *streams: str, **config: Any) -> Output:
    output = connector("read", config_for(server, **config), select=streams)
    assert (output.exit_code, output.errors) == (0, [])
    return output


def restrict(site: Site, content: str, users: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
    restriction = {"operation": "read", "_contentId": content, "_users": [*users], "_groups": [*groups]}
    site.collections["content_restrictions"] = [
        kept for kept in site.records("content_restrictions") if kept["_contentId"] != content
    ]
    site.add("content_restrictions", restriction)


def accounts(count: int) -> list[str]:
    return [f"712020:{n:08x}-0000-4000-8000-000000000000" for n in range(count)]


def current(site: Site) -> list[str]:
    """Return the ids of current pages in current spaces."""
    spaces = {space["id"] for space in site.records("spaces") if space["status"] == "current"}
    return [p["id"] for p in site.records("pages") if p["status"] == "current" and p["spaceId"] in spaces]


# ---------------------------------------------------------------- In bulk


def test_restrictions_in_bulk_are_those_of_each_page_post_and_tree_item(server: Server) -> None:
    output = read(server, "content_restrictions", *EACH)
    exact, bulk = of_each(output.records), in_bulk(output.records)
    long = {r["_contentId"] for r in server.site.records("content_restrictions") if len(r["_users"]) >= 200}
    assert {record["id"] for record in output.records["content_restrictions"]} - bulk.keys() <= long
    assert bulk == {content: lists for content, lists in exact.items() if content in bulk}
    assert any(lists[0] or lists[1] for lists in bulk.values())
    requests = [request.operation for request in server.log]
    assert requests.count(SEARCH) < requests.count(RESTRICTION) / 4


def test_content_that_the_search_lacks_has_no_record(server: Server) -> None:
    lagging, archived, *_ = current(server.site)
    server.site.get("pages", lagging)["_indexed"] = False
    server.site.archive_page(archived)
    found = {record["id"] for record in read(server, "content_restrictions").records["content_restrictions"]}
    pages = {page["id"] for page in server.site.records("pages")}
    assert found & pages == set(current(server.site)) - {lagging}


@pytest.mark.parametrize(
    ("users", "groups", "complete"), [(199, 0, True), (200, 0, False), (3, 200, False), (201, 201, False)]
)
def test_a_list_at_its_limit_is_not_complete(users: int, groups: int, complete: bool) -> None:  # noqa: FBT001 - a parameter
    site = generate(pages=1, spaces=1, groups=max(groups, 1))
    ids = [group["id"] for group in site.records("groups")][:groups]
    restrict(site, site.records("pages")[0]["id"], accounts(users), ids)
    with Server(site) as server:
        (record,) = read(server, "content_restrictions").records["content_restrictions"]
    assert (record["readIsComplete"], record["updateIsComplete"]) == (complete, True)
    assert record["readAccountIds"] == accounts(users)[:200]
    assert record["readGroupIds"] == ids[:200]


def of_users(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda restrictions: restrictions["read"]["restrictions"]["user"].update(fields)


# What Confluence could leave out or cut; then the list of readers is not known.
UNPROVEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no restrictions": lambda restrictions: restrictions.clear(),
    "no restriction of reading": lambda restrictions: restrictions.pop("read"),
    "no lists": lambda restrictions: restrictions["read"].pop("restrictions"),
    "no list of users": lambda restrictions: restrictions["read"]["restrictions"].pop("user"),
    "no list of groups": lambda restrictions: restrictions["read"]["restrictions"].pop("group"),
    "a null list": lambda restrictions: restrictions["read"]["restrictions"].update(group=None),
    "no rows": lambda restrictions: restrictions["read"]["restrictions"].update(user={"limit": 200}),
    "null rows": of_users(results=None),
    "a null row": of_users(results=[None]),
    "a row without an id": of_users(results=[{"type": "unknown", "displayName": "Somebody"}]),
    "no limit": of_users(limit=None),
    "a limit of 0": of_users(limit=0),
    "another size": of_users(size=7),
    "a later start": of_users(start=200),
    "a next-page link": of_users(_links={"next": "/rest/api/content/1/restriction?start=3"}),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_a_list_that_the_response_does_not_prove_is_not_complete(case: str) -> None:
    def change(genuine: bytes) -> bytes:
        body = json.loads(genuine)
        for content in body["results"]:
            UNPROVEN[case](content["restrictions"])
        return json.dumps(body).encode()

    site = generate(pages=1, spaces=1, groups=1)
    restrict(site, site.records("pages")[0]["id"], accounts(3), [site.records("groups")[0]["id"]])
    with Server(site) as server:
        server.fail(SEARCH, times=None, body=change)
        (record,) = read(server, "content_restrictions").records["content_restrictions"]
    assert record["readIsComplete"] is False
    assert record["updateIsComplete"] is ("restrictions" not in case)
    missing = [name for name in LISTS[:2] if record.get(name) is None]  # Airbyte leaves null out
    lists = {
        "no restriction": 2,
        "no lists": 2,
        "no list of": 1,
        "null list": 1,
        "no rows": 1,
        "null rows": 1,
    }
    assert len(missing) == next((count for part, count in lists.items() if part in case), 0)


def test_25_spaces_with_the_longest_keys_fit_into_one_address() -> None:
    site = generate(pages=500, spaces=250)
    for n, space in enumerate(site.records("spaces")):
        space["key"] = space["currentActiveAlias"] = f"~{n:0254d}"
    site.changed("spaces")
    with Server(site) as server:
        found = read(server, "content_restrictions").records["content_restrictions"]
        searches = [request for request in server.log if request.operation == SEARCH]
    assert {record["id"] for record in found} == set(current(site))
    assert {len(request.values("cql")[0].split('", "')) for request in searches} == {25}
    assert max(len(request.target) for request in searches) < 8_190


# ---------------------------------------------------------------- Of each page


@pytest.mark.parametrize(("users", "groups"), [(450, 3), (1, 450), (200, 0), (401, 200)])
def test_all_users_and_groups_of_a_page_are_read(users: int, groups: int) -> None:
    site = generate(pages=2, spaces=1, groups=max(groups, 1))
    page = site.records("pages")[0]["id"]
    ids = [group["id"] for group in site.records("groups")][:groups]
    restrict(site, page, accounts(users), ids)
    with Server(site) as server:
        output = read(server, "page_restrictions")
        requests = [request for request in server.log if request.operation == RESTRICTION]
    assert of_each(output.records)[page][:2] == (set(accounts(users)), set(ids))
    records = [record for record in output.records["page_restrictions"] if record["operation"] == "read"]
    places = [record["start"] for record in records if record["pageId"] == page]
    assert places == list(range(0, max(users, groups) + 1, 200)), "the last one shows that nothing follows"
    assert len(requests) == len(places) + 1, "the other page needs one"


def test_a_smaller_limit_than_the_requested_one_leaves_nobody_out() -> None:
    """The embedded site returns 30 although 200 are requested, as Confluence does at its own limits."""
    site = generate(pages=1, spaces=1)
    restrict(site, site.records("pages")[0]["id"], accounts(100))
    with Server(site) as server:
        server.before(RESTRICTION, lambda _: setattr(server, "max_page", 30))
        server.before("/wiki/api/v2/pages", lambda _: setattr(server, "max_page", 0))
        output = read(server, "page_restrictions")
    assert of_each(output.records)[site.records("pages")[0]["id"]][0] == set(accounts(100))


@pytest.mark.parametrize("place", ["the response", "the list"])
def test_a_link_in_the_response_or_in_its_list_is_followed(place: str) -> None:
    """Confluence could count 200 users and return fewer, because the account cannot see all of them."""

    def change(genuine: bytes) -> bytes:
        body = json.loads(genuine)
        users = body["results"][0]["restrictions"]["user"]
        link = users["_links"].pop("next", None)
        if link:
            users["results"], users["size"] = users["results"][:-5], users["size"] - 5
            (body if place == "the response" else users)["_links"]["next"] = link
        return json.dumps(body).encode()

    site = generate(pages=1, spaces=1)
    restrict(site, site.records("pages")[0]["id"], accounts(300))
    with Server(site) as server:
        server.fail(RESTRICTION, times=None, body=change)
        output = read(server, "page_restrictions")
    assert of_each(output.records)[site.records("pages")[0]["id"]][0] >= set(accounts(300)[195:])
