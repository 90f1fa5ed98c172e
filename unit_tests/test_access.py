"""The recipes about access show a page to those who may see it, and to nobody when that is not known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common.connector import STREAMS
from unit_tests.access import (
    RECIPES,
    USED,
    ago,
    assigned,
    found,
    in_duckdb,
    in_postgres,
    loaded,
    may_read,
    page_of,
    readers,
    unrestricted,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unit_tests.access import Ask, Records

    Given = Callable[..., Ask]
    Streams = Mapping[str, list[dict[str, Any]] | None]

A = "ann bob cid"
PEOPLE = [user("ann"), user("bob"), user("cid")]
GUEST = user("guest", isGuest=True)
EVERYBODY, ANYBODY = "all-licensed-users", "anonymous-users"


def item_of(number: int, parent: int | None = None, kind: str = "folder", **more: Any) -> dict[str, Any]:
    return page_of(number, parent, type=kind, **more)


def long_list(first: dict[str, Any], **second: Any) -> list[dict[str, Any]]:
    """Return a list in two parts, the first of which says that there is a second."""
    first["restrictions"]["user"]["_links"] = {"next": "/rest/api/content/1/restriction?start=200"}
    return [first, *([readers(1, **second)] if second else [])]


def earlier(*rows: dict[str, Any], **span: float) -> list[dict[str, Any]]:
    """Return records that were read earlier than the others."""
    return [{**row, "_airbyte_extracted_at": ago(**span)} for row in rows]


def full(number: int, users: str, limit: int) -> dict[str, Any]:
    """Return a part of a list that has at most this many users."""
    record = readers(number, users)
    record["restrictions"]["user"]["limit"] = limit
    return record


def hidden(number: int, users: str = "") -> dict[str, Any]:
    """Return a list with a user whom Confluence does not name."""
    record = readers(number, users)
    record["restrictions"]["user"]["results"].insert(0, None)
    return record


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with the records that most cases share."""
    file = tmp_path_factory.mktemp("access") / "usual.duckdb"
    records: Records = {
        "space": [{"id": "1", "key": "ENG"}, {"id": "2", "key": "HR"}],
        "users": PEOPLE,
        "group_members": [{"groupId": "g", "accountId": name} for name in ("bob", "cid")],
        "space_permissions": [
            may_read("1", "user", "ann"),
            may_read("1", "group", "g"),
            may_read("2", "user", "ann"),
        ],
        "page_index": [page_of(1), page_of(2, 1), page_of(3, 2)],
        "page_restrictions": unrestricted(1, 2, 3),
        "space_roles": [],
        "space_role_assignments": [],
    }
    loaded(file, records, {}, {}, "{}").close()
    return file


@pytest.fixture(params=["DuckDB", "PostgreSQL"])
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, usual: Path) -> Given:
    """Return a function that loads records, and returns another that queries the recipes about them.

    By default, the space ENG (1) has the unrestricted pages 1, 2 and 3, each below the last. Its readers are Ann, and
    through a group Bob and Cid. Ann is the only reader of the space HR (2).
    """

    def load(
        failed: Records | None = None,
        again: Records | None = None,
        spaces: str = "{}",
        **streams: list[dict[str, Any]] | None,
    ) -> Ask:
        file = Path(shutil.copy(usual, tmp_path_factory.mktemp("access")))
        first = {name: data for name, data in streams.items() if data is not None}
        connection = loaded(file, first, failed or {}, again or {}, spaces)
        for name in streams.keys() - first:
            connection.execute(f"DROP TABLE IF EXISTS {name}; DELETE FROM _syncs WHERE stream = '{name}'")
        if request.param == "DuckDB":
            return in_duckdb(connection)
        return in_postgres(connection, request.getfixturevalue("postgres"))

    return load


def seen(ask: Ask) -> dict[str, str]:
    """Return the people who can see each page or post, by its id."""
    return dict(ask("SELECT id, string_agg(accountId, ' ' ORDER BY accountId) FROM who_can_see GROUP BY id"))


def unknown(ask: Ask) -> dict[str, str]:
    """Return why the readers of a page or post are not known, by its id."""
    return dict(ask("SELECT id, why FROM unknown_readers"))


# Who can see each page: the tables that differ, and the truth.
READERS: dict[str, tuple[Streams, dict[str, str]]] = {
    "no list restricts anything": ({}, {"1": A, "2": A, "3": A}),
    # Lists
    "the lists of a page and of its ancestors add up": (
        {"page_restrictions": [readers(1, "ann bob"), *unrestricted(2), readers(3, groups="g")]},
        {"1": "ann bob", "2": "ann bob", "3": "bob"},
    ),
    "lists that share no reader": (
        {"page_restrictions": [readers(1, "ann"), readers(2, "bob"), *unrestricted(3)]},
        {"1": "ann"},
    ),
    "a list gives no access to the space": (
        {
            "space_permissions": [may_read("1", "user", "ann")],
            "page_restrictions": [readers(1, "ann bob"), *unrestricted(2, 3)],
        },
        dict.fromkeys("123", "ann"),
    ),
    "only updates are restricted": (
        {"page_restrictions": [*unrestricted(1, 2, 3), readers(2, "ann", operation="update")]},
        dict.fromkeys("123", A),
    ),
    "a list in two parts": (
        {
            "page_index": [page_of(1)],
            "page_restrictions": [
                readers(1, "ann"),
                readers(1, "bob", start=200, _airbyte_extracted_at=ago()),
            ],
        },
        {"1": "ann bob"},
    ),
    "more than 200 readers": (
        {
            "page_index": [page_of(1)],
            "page_restrictions": long_list(readers(1, " ".join(f"left{n}" for n in range(200))), users="bob"),
        },
        {"1": "bob"},
    ),
    "a list with a hidden user": (
        {"page_index": [page_of(1)], "page_restrictions": [hidden(1, "ann")]},
        {"1": "ann"},
    ),
    "a list with a hidden user only": ({"page_index": [page_of(1)], "page_restrictions": [hidden(1)]}, {}),
    "a deleted group": ({"page_index": [page_of(1)], "page_restrictions": [readers(1, groups="gone")]}, {}),
    "an app": (
        {
            "page_index": [page_of(1)],
            "users": [*PEOPLE, user("app", accountType="app")],
            "space_permissions": [may_read("1", "user", "app"), may_read("1", "access-class", EVERYBODY)],
            "page_restrictions": [readers(1, "app")],
        },
        {},
    ),
    "a deactivated account": (
        {
            "page_index": [page_of(1)],
            "users": [user("ann"), user("bob", accountStatus="inactive"), user("cid", accountStatus=None)],
            "page_restrictions": [readers(1, "ann bob cid")],
        },
        {"1": "ann"},
    ),
    # Lists from two streams
    "lists from the search only": (
        {
            "page_restrictions": None,
            "content_restrictions": [found(1, "ann"), found(2, groups="g"), found(3)],
            "page_index": [page_of(1), page_of(2), page_of(3)],
        },
        {"1": "ann", "2": "bob cid", "3": A},
    ),
    "the search has the newer lists": (
        {
            "page_index": [page_of(1), page_of(2)],
            "page_restrictions": earlier(readers(1), readers(2, "ann"), hours=1),
            "content_restrictions": [found(1, "bob"), found(2)],
        },
        {"1": "bob", "2": A},
    ),
    "the search has the older lists": (
        {
            "page_index": [page_of(1), page_of(2)],
            "page_restrictions": [readers(1), readers(2, "ann")],
            "content_restrictions": earlier(found(1, "bob"), found(2), hours=1),
        },
        {"1": A, "2": "ann"},
    ),
    "what the search lacks": (
        {
            "page_index": [page_of(1, status="archived"), page_of(2, 1), page_of(3)],
            "page_restrictions": earlier(readers(1, "ann bob"), hours=1),
            "content_restrictions": [found(2), found(3, groups="gone")],
        },
        {"2": "ann bob"},
    ),
    "a list that the search cuts": (
        {
            "page_index": [page_of(1), page_of(2)],
            "page_restrictions": [
                *earlier(readers(1, "ann bob"), hours=1),
                readers(2, "cid", _airbyte_extracted_at=ago(hours=-1)),
            ],
            "content_restrictions": [
                found(1, "ann", readIsComplete=False),
                found(2, "ann", readIsComplete=False),
            ],
        },
        {"1": "ann bob", "2": "cid"},
    ),
    # The tree
    "a restricted folder above": (
        {
            "page_index": [page_of(1), page_of(3, 2)],
            "tree_items": [item_of(2, 1)],
            "page_restrictions": unrestricted(1, 3),
            "tree_item_restrictions": [readers(2, "bob", of="treeItem")],
        },
        {"1": A, "3": "bob"},
    ),
    "only updates of the folder above are restricted": (
        {
            "page_index": [page_of(3, 2)],
            "tree_items": [item_of(2, kind="whiteboard")],
            "page_restrictions": unrestricted(3),
            "tree_item_restrictions": [
                *unrestricted(2, of="treeItem"),
                readers(2, "ann", of="treeItem", operation="update"),
            ],
        },
        {"3": A},
    ),
    "an archived page, and a page below it": (
        {
            "page_index": [page_of(1, status="archived"), page_of(2, 1)],
            "page_restrictions": [readers(1, "ann bob"), *unrestricted(2)],
        },
        {"2": "ann bob"},
    ),
    "a trashed page": (
        {
            "page_index": [page_of(1), page_of(2, status="trashed")],
            "pages": [page_of(1), page_of(2, 1)],
        },
        {"1": A},
    ),
    "a page that the reading account sees no more": (
        {"page_index": [page_of(1)], "pages": [page_of(1), page_of(2, 1)]},
        {"1": A},
    ),
    "a page that was moved below a restricted one": (
        {
            "page_index": [page_of(1), page_of(3, 1)],
            "pages": [page_of(1), page_of(3)],
            "page_restrictions": [readers(1, "ann"), *unrestricted(3)],
        },
        {"1": "ann", "3": "ann"},
    ),
    "a page that was moved to a space with fewer readers": (
        {"page_index": [page_of(1), page_of(3, spaceId="2")], "pages": [page_of(1), page_of(3)]},
        {"1": A, "3": "ann"},
    ),
    "pages below each other": ({"page_index": [page_of(1, 2), page_of(2, 1)]}, {"1": A, "2": A}),
    "a blog post": (
        {
            "page_index": [],
            "blog_post_index": [page_of(7), page_of(8), page_of(9, status="trashed")],
            "blog_post_restrictions": [*unrestricted(7, 9, of="blogPost"), readers(8, "bob", of="blogPost")],
        },
        {"7": A, "8": "bob"},
    ),
    # The space
    "a personal space": ({"space_permissions": [may_read("1", "user", "ann")]}, dict.fromkeys("123", "ann")),
    "a space open to all users with a licence": (
        {
            "users": [*PEOPLE, GUEST, user("customer", accountType="customer"), user("unsure", isGuest=None)],
            "space_permissions": [may_read("1", "access-class", "ALL_LICENSED_USERS")],
        },
        dict.fromkeys("123", A),
    ),
    "a space open to anonymous visitors": (
        {"users": [*PEOPLE, GUEST], "space_permissions": [may_read("1", "access-class", ANYBODY)]},
        dict.fromkeys("123", A + " guest"),
    ),
    "another class of people": ({"space_permissions": [may_read("1", "access-class", "product-admins")]}, {}),
    "permission to do something else": (
        {
            "space_permissions": [
                {**may_read("1", "user", "ann"), "operation": {"key": "create", "targetType": "page"}}
            ]
        },
        {},
    ),
    "a role": (
        {
            "space_permissions": [may_read("1", "role", "viewer")],
            "space_role_assignments": [
                *(assigned("1", "viewer", "USER", "ann"), assigned("1", "viewer", "GROUP", "g")),
                assigned("2", "viewer", "USER", "dan"),
            ],
        },
        dict.fromkeys("123", A),
    ),
    "a role for all users with a licence": (
        {
            "users": [*PEOPLE, GUEST],
            "space_permissions": [may_read("1", "role", "viewer")],
            "space_role_assignments": [assigned("1", "viewer", "ACCESS_CLASS", EVERYBODY)],
        },
        dict.fromkeys("123", A),
    ),
    "a role that is not among the permissions": (
        {
            "users": [*PEOPLE, GUEST],
            "space_permissions": [],
            "space_roles": [
                {"id": "viewer", "spacePermissions": ["space/read"]},
                {"id": "writer", "spacePermissions": ["page/create"]},
            ],
            "space_role_assignments": [
                *(assigned("1", "viewer", "USER", "guest"), assigned("1", "writer", "USER", "ann")),
                assigned("1", "other", "USER", "bob"),
            ],
        },
        dict.fromkeys("123", "guest"),
    ),
    "a role without holders": ({"space_permissions": [may_read("1", "role", "viewer")]}, {}),
    "a guest in a group": (
        {
            "users": [user("ann"), GUEST],
            "group_members": [{"groupId": "partners", "accountId": "guest"}],
            "space_permissions": [may_read("1", "group", "partners")],
        },
        dict.fromkeys("123", "guest"),
    ),
    "a guest in several spaces": (
        {
            "users": [user("ann", isGuest=None, isExternalCollaborator=True)],
            "space_permissions": [may_read("1", "user", "ann"), may_read("2", "user", "ann")],
        },
        {},
    ),
    "a guest in a space and in spaces open to anonymous visitors": (
        {
            "users": [user("ann"), GUEST],
            "page_index": [page_of(1), page_of(2, spaceId="2")],
            "space_permissions": [
                *(may_read("1", "user", "guest"), may_read("2", "user", "guest")),
                may_read("2", "access-class", ANYBODY),
            ],
        },
        {"1": "guest", "2": "ann guest"},
    ),
}


@pytest.mark.parametrize("case", READERS)
def test_a_page_is_shown_to_its_readers(given: Given, case: str) -> None:
    streams, truth = READERS[case]
    ask = given(**streams)
    assert seen(ask) == truth
    assert unknown(ask) == {}


# Whose readers are not known: the tables that differ, and why; all other pages are shown.
ONE = {"page_index": [page_of(1), page_of(2)]}
UNKNOWN: dict[str, tuple[Streams, dict[str, str]]] = {
    "no rows": ({"page_restrictions": unrestricted(1, 3)}, dict.fromkeys("23", "never read")),
    "rows of other operations only": (
        {**ONE, "page_restrictions": [readers(1), readers(2, operation="update")]},
        {"2": "never read"},
    ),
    "no rows of a post": ({"blog_post_index": [page_of(7)]}, {"7": "never read"}),
    "no rows of a folder above": ({"tree_items": [item_of(2)]}, {}),
    "a parent in no table": (
        {"page_index": [page_of(1), page_of(2), page_of(3, 77, parentType="folder")]},
        {"3": "ancestor missing"},
    ),
    "a folder above that is in the trash, where it has no parent": (
        {
            "page_index": [page_of(1), page_of(2), page_of(3, 4)],
            "tree_items": [item_of(4, status="trashed")],
            "content_restrictions": [found(4)],
        },
        {"3": "ancestor missing"},
    ),
    "a folder above without rows": (
        {"page_index": [page_of(1), page_of(3, 4)], "tree_items": [item_of(4)]},
        {"3": "never read"},
    ),
    "the first part of a list only": (
        {**ONE, "page_restrictions": [*long_list(readers(1, "ann")), *unrestricted(2)]},
        {"1": "list cut"},
    ),
    "no lists": (
        {**ONE, "page_restrictions": [readers(1, restrictions=None), *unrestricted(2)]},
        {"1": "list cut"},
    ),
    "a complete list without rows": (
        {
            "page_index": [page_of(1), page_of(2), page_of(3)],
            "page_restrictions": None,
            "content_restrictions": [found(1, readGroupIds=None), found(2), found(3, readAccountIds=None)],
        },
        {"1": "list cut", "3": "list cut"},
    ),
    "a list of users that is missing": (
        {**ONE, "page_restrictions": [readers(1, restrictions={"group": {"results": []}}), *unrestricted(2)]},
        {"1": "list cut"},
    ),
    "a list of groups that is null": (
        {
            **ONE,
            "page_restrictions": [
                readers(1, restrictions={"user": {"results": []}, "group": {"results": None}}),
                *unrestricted(2),
            ],
        },
        {"1": "list cut"},
    ),
    "the second part of a list only": (
        {**ONE, "page_restrictions": [readers(1, "ann", start=200), *unrestricted(2)]},
        {"1": "list cut"},
    ),
    "a part that is left over from an older list": (
        {
            **ONE,
            "page_restrictions": [
                *(readers(1, "ann"), readers(1, "bob", start=200, _airbyte_extracted_at=ago(hours=1))),
                *unrestricted(2),
            ],
        },
        {"1": "list cut"},
    ),
    "a list that is older than the index, of a page without a date": (
        {
            "page_index": [page_of(1, updatedAt=None), page_of(2, updatedAt=None)],
            "page_restrictions": [*earlier(*unrestricted(1), hours=1), *unrestricted(2)],
        },
        {"1": "changed since"},
    ),
    "pages that were read again elsewhere, after the index": (
        {
            "page_index": earlier(*map(page_of, range(1, 5)), hours=1),
            "page_restrictions": unrestricted(1, 2, 3, 4),
            "pages": [page_of(1, spaceId="2"), page_of(2, status="archived"), page_of(3, 4), page_of(4)],
            "blog_post_index": earlier(page_of(7), page_of(8), hours=1),
            "blog_post_restrictions": unrestricted(7, 8, of="blogPost"),
            "blog_posts": [page_of(7, spaceId="2"), page_of(8)],
        },
        dict.fromkeys("1237", "changed since"),
    ),
    "a list that the search cuts": (
        {
            **ONE,
            "page_restrictions": None,
            "content_restrictions": [found(1, "ann", readIsComplete=False), found(2)],
        },
        {"1": "list cut"},
    ),
    "a list that the search cuts, and that was empty before": (
        {
            **ONE,
            "page_restrictions": earlier(*unrestricted(1, 2), hours=1),
            "content_restrictions": [found(1, "ann", readIsComplete=False)],
        },
        {"1": "list cut"},
    ),
    "a list without a proof": (
        {**ONE, "page_restrictions": None, "content_restrictions": [found(1, readIsComplete=None), found(2)]},
        {"1": "list cut"},
    ),
    "a full last part": (
        {**ONE, "page_restrictions": [full(1, "ann bob", 2), full(2, "ann bob cid", 4)]},
        {"1": "list cut"},
    ),
    "what the search lacks": (
        {**ONE, "page_restrictions": None, "content_restrictions": [found(1)]},
        {"2": "never read"},
    ),
    "a page that the search found in another space": (
        {**ONE, "page_restrictions": None, "content_restrictions": [found(1), found(2, spaceId="2")]},
        {"2": "changed since"},
    ),
    "a page that was edited after its list was read": (
        {
            "page_index": [
                page_of(1, updatedAt="2026-06-30T11:30:00Z"),
                page_of(2, updatedAt="2026-06-30T10:30:00Z"),
            ],
            "page_restrictions": [
                {**row, "_airbyte_extracted_at": ago(hours=1)} for row in unrestricted(1, 2)
            ],
        },
        {"1": "changed since"},
    ),
    "a page that was edited after the list above it was read": (
        {
            "page_index": [page_of(1), page_of(2, 1, updatedAt="2026-06-30T11:30:00Z")],
            "page_restrictions": [readers(1, _airbyte_extracted_at=ago(hours=1)), *unrestricted(2)],
        },
        {"2": "changed since"},
    ),
    "a folder that was moved after its list was read": (
        {
            "page_index": [page_of(1), page_of(3, 2)],
            "page_restrictions": unrestricted(1, 3),
            "tree_items": [item_of(2, updatedAt="2026-06-30T11:30:00Z")],
            "tree_item_restrictions": [readers(2, of="treeItem", _airbyte_extracted_at=ago(hours=1))],
        },
        {"3": "changed since"},
    ),
    "a list that was read a week ago": (
        {
            **ONE,
            "page_restrictions": [
                {**row, "_airbyte_extracted_at": ago(days=7)} for row in unrestricted(1, 2)
            ],
        },
        {},
    ),
    "a list that was read nine days ago": (
        {**ONE, "page_restrictions": [*unrestricted(1), readers(2, _airbyte_extracted_at=ago(days=9))]},
        {"2": "too old"},
    ),
    "an index that was read nine days before the lists": (
        {
            "page_index": earlier(page_of(1), days=9),
            "users": earlier(*PEOPLE, days=9),
            "space_permissions": earlier(may_read("1", "access-class", EVERYBODY), days=9),
        },
        {"1": "too old"},
    ),
    "an index that was read nine days ago": (
        {"page_index": earlier(page_of(1), page_of(2), days=9)},
        dict.fromkeys("12", "too old"),
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_page_whose_readers_are_not_known_is_shown_to_nobody(given: Given, case: str) -> None:
    streams, why = UNKNOWN[case]
    ask = given(**streams)
    assert unknown(ask) == why
    pages = streams.get("page_index") or [page_of(1), page_of(2), page_of(3)]
    current = {page["id"] for page in [*pages, *(streams.get("blog_post_index") or [])]}
    assert seen(ask) == dict.fromkeys(current - set(why), A)


# What a second sync failed to read again: what it did read, who can see each page, and why.
FAILED: dict[str, tuple[Records, dict[str, str], dict[str, str]]] = {
    "the lists": ({"page_restrictions": []}, {}, dict.fromkeys("123", "stream incomplete")),
    "some lists": ({"page_restrictions": unrestricted(1, 2)}, {"1": A, "2": A}, {"3": "stream incomplete"}),
    "the index": ({"page_index": [page_of(1)]}, {"1": A}, dict.fromkeys("23", "stream incomplete")),
    "the people": ({"users": [user("ann")]}, dict.fromkeys("123", "ann"), {}),
    "the members of groups": ({"group_members": []}, dict.fromkeys("123", "ann"), {}),
    "the permissions": (
        {"space_permissions": [may_read("1", "group", "g")]},
        dict.fromkeys("123", "bob cid"),
        {},
    ),
}


@pytest.mark.parametrize("case", FAILED)
def test_what_a_failed_sync_did_not_read_again_opens_nothing(given: Given, case: str) -> None:
    failed, shown, why = FAILED[case]
    ask = given(failed)
    assert (seen(ask), unknown(ask)) == (shown, why)


def test_a_role_that_a_failed_sync_did_not_read_again_opens_nothing(given: Given) -> None:
    role = {"id": "viewer", "spacePermissions": ["space/read"]}
    holder = assigned("1", "viewer", "USER", "ann")
    records = {"space_permissions": [], "space_roles": [role], "space_role_assignments": [holder]}
    assert seen(given(**records)) == dict.fromkeys("123", "ann")
    for failed in ("space_roles", "space_role_assignments"):
        assert seen(given({failed: []}, **records)) == {}


def test_a_list_that_a_failed_sync_did_not_read_again_is_not_replaced_by_an_older_one(given: Given) -> None:
    older = earlier(*unrestricted(1, 2, 3), days=1)
    lists = {"page_restrictions": older, "content_restrictions": [found(n, "ann") for n in (1, 2, 3)]}
    ask = given({"content_restrictions": [found(2, "bob"), found(1, "bob")]}, **lists)
    assert (seen(ask), unknown(ask)) == ({"1": "bob", "2": "bob"}, {"3": "stream incomplete"})
    again = {"page_restrictions": [*unrestricted(1, 2), readers(3, "bob")]}
    ask = given({"content_restrictions": []}, again, **lists)
    assert (seen(ask), unknown(ask)) == ({"1": A, "2": A, "3": "bob"}, {})


def test_who_could_read_a_space_a_month_ago_sees_no_new_post(given: Given) -> None:
    old = {
        "users": PEOPLE,
        "group_members": [{"groupId": "g", "accountId": name} for name in ("bob", "cid")],
        "space_permissions": [may_read("1", "user", "ann"), may_read("1", "group", "g")],
        "page_index": [page_of(1)],
        "page_restrictions": unrestricted(1),
    }
    aged: Streams = {name: earlier(*records, days=30) for name, records in old.items()}
    for lists in (
        {"blog_post_restrictions": unrestricted(7, of="blogPost")},
        {"content_restrictions": [found(7)]},
    ):
        ask = given(**aged, blog_post_index=[page_of(7)], **lists)
        assert seen(ask) == {}


def test_what_is_null_or_missing_opens_nothing(tmp_path: Path) -> None:
    """Each column of each table, and each table. Only a page without a parent is one at the top of its space."""
    roles = [{"id": "viewer", "spacePermissions": ["space/read"]}]
    records = {
        "space": [{"id": "1", "key": "ENG"}, {"id": "2", "key": "HR"}],
        "users": [*PEOPLE, GUEST, user("app", accountType="app"), user("left", accountStatus="inactive")],
        "group_members": [{"groupId": "g", "accountId": name} for name in ("bob", "guest", "left")],
        "space_permissions": [may_read("1", "user", "ann"), may_read("1", "group", "g")],
        "space_roles": roles,
        "space_role_assignments": [
            assigned("1", "viewer", "USER", "cid"),
            assigned("2", "viewer", "GROUP", "g"),
        ],
        "page_index": [page_of(1), page_of(2, 1), page_of(3, 4), page_of(5, status="archived"), page_of(6)],
        "page_restrictions": [readers(1, "ann bob"), *unrestricted(2, 3, 5), readers(6, groups="g")],
        "blog_post_index": [page_of(7), page_of(8)],
        "content_restrictions": [found(7, "cid"), found(8, groups="g", readIsComplete=False)],
        "tree_items": [item_of(4, 1)],
        "tree_item_restrictions": [readers(4, groups="g", of="treeItem")],
    }
    connection = loaded(tmp_path / "confluence.duckdb", records, {}, {}, "{}")
    ask = in_duckdb(connection)
    shown = {*ask("SELECT accountId, id FROM who_can_see")}
    assert shown
    columns = "SELECT column_name FROM duckdb_columns() WHERE table_name = '{}'"
    text = "".join(RECIPES[name].query for name in USED)
    nulls = set()
    for table in records:
        fields = {name for (name,) in ask(columns.format(table))} - {*STREAMS[table].key}
        named = {name for name in fields if name in text}
        for changed in [{name} for name in named] + [fields - named] * (fields != named):
            nulls.add((table, f'UPDATE "{table}" SET ' + ", ".join(f'"{name}" = NULL' for name in changed)))
    opening = set()
    for table, change in nulls | {(table, f'DELETE FROM "{table}"') for table in records}:
        ask("BEGIN")
        ask(change)
        if change.startswith("DELETE"):
            ask(f"DELETE FROM _syncs WHERE stream = '{table}'")
        if not {*ask("SELECT accountId, id FROM who_can_see")} <= shown:
            opening.add(change)
        ask("ROLLBACK")
    assert opening == {'UPDATE "page_index" SET "parentId" = NULL'}


@pytest.mark.parametrize("spaces", ['{"space_keys": ["ENG"]}', None])
def test_a_guest_may_be_in_a_space_that_was_not_read(given: Given, spaces: str) -> None:
    members = [{"groupId": "g", "accountId": name} for name in ("bob", "guest")]
    ask = given(users=[*PEOPLE, GUEST], group_members=members, spaces=spaces)
    assert seen(ask) == dict.fromkeys("123", "ann bob")


OF_GUESTS = ("space_permissions", "space_roles", "space_role_assignments", "group_members")


@pytest.mark.parametrize("stream", OF_GUESTS)
def test_a_guest_may_be_in_a_space_that_the_last_sync_failed_to_read(given: Given, stream: str) -> None:
    members = [{"groupId": "g", "accountId": name} for name in ("bob", "guest")]
    people: Streams = {"users": [*PEOPLE, GUEST], "group_members": members}
    assert seen(given(**people)) == dict.fromkeys("123", "ann bob guest")
    read: Records = {"space_permissions": [may_read("1", "user", "ann"), may_read("1", "group", "g")]}
    ask = given({stream: {**read, "group_members": members}.get(stream, [])}, **people)
    assert seen(ask) == dict.fromkeys("123", "ann bob")


@pytest.mark.parametrize("stream", OF_GUESTS)
def test_a_guest_may_be_in_a_space_since_the_last_sync(stream: str, tmp_path: Path, usual: Path) -> None:
    file = Path(shutil.copy(usual, tmp_path))
    members = [{"groupId": "g", "accountId": name} for name in ("bob", "guest")]
    connection = loaded(file, {"users": [*PEOPLE, GUEST], "group_members": members}, {}, {}, "{}")
    ask = in_duckdb(connection)
    for finished, shown in (
        ("finished", "ann bob guest"),
        ("finished - INTERVAL '9 days'", "ann bob"),
        ("NULL", "ann bob guest"),  # as in the view for Airbyte: its rows say when they were read
    ):
        connection.execute(f"UPDATE _syncs SET finished = {finished} WHERE stream = '{stream}'")
        assert seen(ask) == dict.fromkeys("123", shown)


def test_a_text_for_an_ai_is_for_the_readers_of_its_page_or_post_and_otherwise_for_nobody(
    given: Given,
) -> None:
    def texts(**streams: list[dict[str, Any]] | None) -> list[tuple[Any, ...]]:
        ask = given(site_info=[{"cloudId": "1", "baseUrl": "https://example.net/wiki"}], **streams)
        readers = "array_to_string(may_see, ' ')"
        return ask(
            f"SELECT document_key, type, path, {readers} AS readers, labels FROM text_for_ai ORDER BY 1"
        )

    def post_of(number: int, minute: int, **more: Any) -> dict[str, Any]:
        return page_of(number, updatedAt=f"2026-01-01T00:{minute:02}:00Z", **more)

    pages: Streams = {
        "space": [{"id": "1", "key": "ENG", "name": "Engineering"}],
        "tree_items": [],
        "pages": [page_of(1), page_of(2, 1)],
        "page_labels": [
            {"pageId": "2", "labelId": "5", "labelName": "a"},
            {"pageId": "2", "labelId": "6", "labelName": "read-later", "labelPrefix": "my"},
            {"pageId": "1", "labelId": "6", "labelName": "read-later", "labelPrefix": "my"},
        ],
        "page_restrictions": [*unrestricted(1), readers(2, "cid"), *unrestricted(3)],
    }
    of_pages = [
        ("1", "page", "Engineering / Page 1", A, None),
        ("2", "page", "Engineering / Page 1 / Page 2", "cid", ["a"]),
    ]
    assert texts(**pages) == of_pages  # posts were not synced
    posts = {
        # Post 6 is edited after the index was read, 7 is trashed, 8 is not in the index, and no list of 9 was read.
        "blog_posts": [post_of(n, 2 if n == 6 else 1) for n in range(4, 10)],
        "blog_post_index": [*(post_of(n, 1) for n in (4, 5, 6, 9)), post_of(7, 1, status="trashed")],
        "blog_post_labels": [{"blogPostId": "5", "labelId": name, "labelName": name} for name in "cb"],
        "blog_post_restrictions": [
            *unrestricted(4, 6, 7, 8, of="blogPost"),
            readers(5, "bob", of="blogPost"),
        ],
    }
    assert texts(**pages, **posts) == [
        *of_pages,
        ("4", "blogpost", "Engineering / Page 4", A, None),
        ("5", "blogpost", "Engineering / Page 5", "bob", ["b", "c"]),
        ("6", "blogpost", "Engineering / Page 6", "", None),
        ("9", "blogpost", "Engineering / Page 9", "", None),
    ]
    older = {**pages, "page_index": [page_of(1, updatedAt="2026-01-01T00:00:00Z"), page_of(2, 1)]}
    for at in ("2026-01-01T00:00:01Z", None):
        newer = {**older, "pages": [page_of(1, updatedAt=at)]}
        assert texts(**newer) == [("1", "page", "Engineering / Page 1", "", None)]
