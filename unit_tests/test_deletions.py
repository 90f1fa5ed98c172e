"""What the warehouse concludes from what is missing: nothing that exists is deleted, and nothing is lost.

The warehouse is filled as tools/load.py does it, and the deletions are applied as tools/deletions.py does it.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import ROOT, STREAMS
from fake_confluence import Server, generate
from tools import deletions, recipes, report
from tools.load import SYNCS
from unit_tests.database import database
from unit_tests.warehouse import Warehouse, small

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_confluence import Site

DAY = 86_400.0
GONE = "purged, hidden or moved out"
NO_POSTS = "posts: unknown without the stream blog_posts\n"
OF_PAGES = ("space", "pages", "page_index", "page_versions")
OF_POSTS = ("space", "blog_posts", "blog_post_index")


@pytest.fixture
def site() -> Iterator[Server]:
    with Server(small()) as server:
        yield server


@pytest.fixture(scope="module")
def first() -> Warehouse:
    """Sync the pages of the small site for the first time."""
    with Server(small()) as server:
        warehouse = Warehouse(server, *OF_PAGES)
        sync(warehouse)
    return warehouse


@pytest.fixture
def synced(site: Server, first: Warehouse) -> Warehouse:
    """Return a warehouse with a first sync."""
    site.site.tick(DAY)
    return first.copy(site)


def sync(warehouse: Warehouse, times: int = 1, **how: Any) -> dict[str, str]:
    """Sync and apply the deletions, once or more often; return what became of the pages that are not current."""
    for _ in range(times):
        warehouse.sync(**how)
        warehouse.apply()
    return warehouse.now()


def hide(site: Server, page: str) -> dict[str, Any]:
    """Hide a page from the account, and return it."""
    record = site.site.get("pages", page)
    site.site.remove("pages", page)
    return record


# ------------------------------------------------------------------ what Confluence says, and what it does not say


@pytest.mark.parametrize("kind", ["pages", "blog_posts"])
def test_a_status_acts_at_once(site: Server, kind: str) -> None:
    warehouse = Warehouse(site, *(OF_PAGES[:3] if kind == "pages" else OF_POSTS))
    view, forget = ("deletions", "forget") if kind == "pages" else ("post_deletions", "forget_posts")
    warehouse.sync()
    warehouse.apply()
    statuses = ("trashed", "deleted", "archived") if kind == "pages" else ("trashed", "deleted")
    ids = [record["id"] for record in site.site.records(kind)]
    changed = dict(zip(ids[7:], statuses, strict=False))
    for record, status in changed.items():
        site.site.set_status(kind, record, status)
    warehouse.sync()
    for _ in range(2):  # before the deletions are applied, and after
        assert warehouse.now(view) == changed
        assert warehouse.ids(forget) == {*changed}
        gone = {record for record, status in changed.items() if status != "archived"}
        assert warehouse.ids(f"living_{kind}") == {*ids} - gone
        warehouse.apply()
    assert dict(warehouse.rows(f"SELECT id, status FROM {kind} WHERE status <> 'current'")) == changed


def test_an_archived_page_is_forgotten_although_its_last_edit_was_not_read(
    site: Server, synced: Warehouse
) -> None:
    site.site.edit("pages", "1000007", title="Edited")
    site.site.set_status("pages", "1000007", "archived")
    site.fail("body-format=", times=None, status=403)
    assert sync(synced) == {"1000007": "archived"}
    assert synced.ids("forget") == {"1000007"}


@pytest.mark.parametrize("kind", ["pages", "blog_posts"])
def test_absence_acts_when_two_reads_lack_the_page(site: Server, kind: str) -> None:
    warehouse = Warehouse(site, *(OF_PAGES[:3] if kind == "pages" else OF_POSTS))
    view, forget = ("deletions", "forget") if kind == "pages" else ("post_deletions", "forget_posts")
    warehouse.sync()
    gone = site.site.records(kind)[7]["id"]
    site.site.remove(kind, gone)
    warehouse.sync()
    for _ in range(3):  # applied twice after the same sync: still one read
        assert warehouse.now(view) == {gone: "absent"}
        assert warehouse.ids(forget) == set()
        assert gone in warehouse.ids(f"living_{kind}")
        warehouse.apply()
    warehouse.sync()
    for _ in range(2):
        assert warehouse.now(view) == {gone: GONE}
        assert warehouse.ids(forget) == {gone}
        assert gone not in warehouse.ids(f"living_{kind}")
        warehouse.apply()
    assert warehouse.rows(f"SELECT status FROM {kind} WHERE id = '{gone}'") == [(GONE,)]


def test_an_incomplete_read_counts_for_nothing(site: Server, synced: Warehouse) -> None:
    trashed, purged = "1000007", "1000008"
    site.site.trash_page(trashed)
    site.site.purge_page(purged)
    site.fail("status=trashed", times=None, status=403)
    assert set(sync(synced, 2).values()) == {"unknown"}
    assert synced.ids("forget") == set()
    assert synced.rows("SELECT DISTINCT status FROM pages") == [("current",)]
    site.heal()
    assert sync(synced) == {trashed: "trashed", purged: "absent"}
    site.fail("status=trashed", times=None, status=403)
    sync(synced)
    site.heal()
    assert sync(synced) == {trashed: "trashed", purged: GONE}


def test_an_empty_index_says_nothing(site: Server, synced: Warehouse) -> None:
    for page in list(site.site.records("pages")):
        site.site.purge_page(page["id"])
    assert set(sync(synced, 3).values()) == {"unknown"}
    assert synced.ids("living_pages") == {str(1_000_000 + n) for n in range(60)}


def test_an_index_that_is_older_than_the_pages_says_nothing(site: Server, synced: Warehouse) -> None:
    new = site.site.add_page("New", space_id="1000")["id"]
    synced.sync("pages")
    synced.apply()
    assert set(synced.now().values()) == {"unknown"}
    assert synced.ids("forget") == set()
    assert sync(synced) == {}
    assert new in synced.ids("living_pages")


@pytest.mark.parametrize("kind", ["pages", "blog_posts"])
def test_pages_that_were_not_read_again_are_named(site: Server, kind: str) -> None:
    warehouse = Warehouse(site, *(OF_PAGES[:3] if kind == "pages" else OF_POSTS))
    hidden, edited = (site.site.records(kind)[n]["id"] for n in (7, 8))
    site.site.set_status(kind, hidden, "trashed")
    warehouse.sync()
    warehouse.apply()
    site.site.tick(DAY)
    site.site.edit(kind, edited)
    site.site.set_status(kind, edited, "trashed")
    site.site.tick(DAY)
    site.site.edit(kind, site.site.records(kind)[9]["id"])
    warehouse.sync()
    for record in (hidden, edited):  # neither the version nor the timestamp changes
        site.site.set_status(kind, record, "current")
    warehouse.sync()
    warehouse.apply()
    view = "deletions" if kind == "pages" else "post_deletions"
    assert warehouse.now(view) == {hidden: "missing", edited: "outdated"}
    warehouse.sync(full=True)
    assert warehouse.now(view) == {}


def test_a_failed_list_of_spaces_does_not_hide_spaces(site: Server, synced: Warehouse) -> None:
    gone = hide(site, "1000007")["id"]
    site.site.remove("spaces", "1005")
    sync(synced)
    with synced.one_sync() as read:
        read("pages", "page_index", "page_versions")
        site.deny("/spaces")
        read("space")
    synced.apply()
    assert set(synced.now().values()) == {GONE}
    site.heal()
    assert sync(synced) == {
        gone: GONE,
        **{str(1_000_005 + n * 6): "hidden with its space" for n in range(10)},
    }


# ------------------------------------------------------------------ the site changes during a sync


def test_a_page_created_between_two_streams_stays(site: Server, synced: Warehouse) -> None:
    with synced.one_sync() as read:
        read("space", "page_index")
        new = site.site.add_page("Written during the sync", space_id="1000")["id"]
        read("pages", "page_versions")
    synced.apply()
    assert synced.now() == {new: "absent"}
    assert synced.ids("forget") == set()
    assert new in synced.ids("living_pages")
    assert sync(synced) == {}


def test_a_page_moved_between_groups_during_the_read_stays(site: Server, synced: Warehouse) -> None:
    moved = "1000005"
    with synced.one_sync() as read:
        read("space", "pages", "page_versions")
        read("page_index", space_keys=["S0", "S1", "S2"])
        site.site.get("pages", moved)["spaceId"] = "1000"
        site.site.changed("pages")
        read("page_index", space_keys=["S3", "S4", "S5"])
    assert moved not in synced.ids("page_index")
    synced.apply()
    assert synced.now() == {moved: "absent"}
    assert synced.ids("forget") == set()
    assert sync(synced) == {}
    assert synced.rows(f"SELECT status, spaceId FROM pages WHERE id = '{moved}'") == [("current", "1000")]
    assert synced.rows(f"SELECT number FROM page_versions WHERE pageId = '{moved}'")


def test_a_space_restored_between_the_two_lists_of_spaces_keeps_its_pages(
    site: Server, synced: Warehouse
) -> None:
    space = site.site.get("spaces", "1003")
    with synced.one_sync() as read:
        read("pages", "page_versions")
        site.site.remove(
            "spaces", "1003"
        )  # neither in the list of current spaces nor in that of archived ones
        read("space", "page_index")
        site.site.add("spaces", space)
    synced.apply()
    assert list(synced.now().values()) == ["absent"] * 10
    assert synced.ids("forget") == set()
    assert sync(synced) == {}


def test_a_page_edited_during_the_read_of_the_index_stays() -> None:
    with Server(small(pages=30, spaces=1), max_page=10) as site:
        warehouse = Warehouse(site, *OF_PAGES)
        sync(warehouse)
        site.site.tick(DAY)
        oldest = min(site.site.records("pages"), key=lambda page: str(page["version"]["createdAt"]))["id"]
        edits = [oldest]

        def edit(_: object) -> None:
            if edits:
                site.site.edit_page(edits.pop(), title="Edited by a colleague")

        site.before(r"status=trashed.*cursor=", edit)
        warehouse.sync()
        assert not edits
        site.heal()
        warehouse.apply()
        assert set(warehouse.now().values()) <= {"absent", "outdated"}
        assert warehouse.ids("forget") == set()
        assert sync(warehouse) == {}
        assert warehouse.rows(f"SELECT title FROM living_pages WHERE id = '{oldest}'") == [
            ("Edited by a colleague",)
        ]


def test_a_page_that_was_read_after_the_index_is_what_it_was_then(site: Server, synced: Warehouse) -> None:
    restored, moved = "1000007", "1000008"
    site.site.trash_page(restored)
    with synced.one_sync() as read:
        read("space", "page_index")
        site.site.restore_page(restored)
        site.site.edit_page(restored, title="Restored")
        site.site.edit_page(moved, spaceId="1005", parentId="1000005")
        read("pages", "page_versions")
    synced.apply()
    assert synced.now() == {}
    place = f"SELECT status, spaceId, parentId FROM pages WHERE id = '{moved}'"
    assert synced.rows(place) == [("current", "1005", "1000005")]


# ------------------------------------------------------------------ what comes back


def test_a_page_that_is_visible_again_has_lost_nothing(site: Server, synced: Warehouse) -> None:
    page = hide(site, "1000007")
    row = f"SELECT title, status, version, body FROM pages WHERE id = '{page['id']}'"
    versions = f"SELECT count(*) FROM page_versions WHERE pageId = '{page['id']}'"
    before = synced.rows(row), synced.rows(versions)
    assert sync(synced, 2) == {page["id"]: GONE}
    assert synced.rows(row) != before[0]
    site.site.add("pages", page)
    assert sync(synced) == {}
    assert (synced.rows(row), synced.rows(versions)) == before


def test_a_page_that_is_visible_again_after_its_row_was_removed_can_be_read_again(
    site: Server, synced: Warehouse
) -> None:
    page = hide(site, "1000007")
    sync(synced, 2)
    synced.erase()
    assert page["id"] not in synced.ids("pages")
    assert synced.ids("forget") == {page["id"]}  # still to be deleted from a search index
    assert synced.rows(f"SELECT * FROM page_versions WHERE pageId = '{page['id']}'") == []
    site.site.add("pages", page)
    assert sync(synced, 2) == {page["id"]: "missing"}
    assert sync(synced, full=True) == {}
    assert page["id"] in synced.ids("living_pages")


def test_a_page_that_was_restored_without_its_row_is_marked_anew(site: Server, synced: Warehouse) -> None:
    site.site.trash_page("1000007")
    sync(synced)
    synced.connection.execute("UPDATE _absent SET marked = marked - INTERVAL '31 days'")
    old = synced.rows("SELECT marked FROM deletions WHERE deleted")
    deletions.erase(synced.connection, days=30)
    site.site.restore_page("1000007")
    assert sync(synced) == {"1000007": "missing"}
    assert synced.rows("SELECT marked FROM deletions WHERE id = '1000007'") == [(None,)]
    site.site.trash_page("1000007")
    assert sync(synced) == {"1000007": "trashed"}
    assert synced.rows("SELECT marked FROM deletions WHERE deleted") > old


@pytest.fixture
def with_missing_pages() -> Iterator[tuple[Warehouse, list[str]]]:
    """Return a warehouse that lacks most pages, as with a start date, and their ids."""
    with Server(small(pages=300, spaces=2)) as server:
        warehouse = Warehouse(server, *OF_PAGES[:3])
        sync(warehouse)
        missing = [page["id"] for page in server.site.records("pages")][20:]
        warehouse.connection.execute("DELETE FROM pages WHERE id IN (SELECT unnest(?))", [missing])
        missing = [page for page, now in sync(warehouse).items() if now == "missing"]
        assert len(missing) > 250  # the newest were read again
        yield warehouse, missing


def test_what_is_allowed_now_is_not_allowed_later_for_a_page_that_is_missing(
    with_missing_pages: tuple[Warehouse, list[str]],
) -> None:
    warehouse, missing = with_missing_pages
    deletions.allow(warehouse.connection, "all")
    for page in missing:
        warehouse.server.site.remove("pages", page)
    assert sync(warehouse, 2) == dict.fromkeys(missing, "held back")


def test_pages_that_are_missing_count_for_their_space(
    with_missing_pages: tuple[Warehouse, list[str]],
) -> None:
    warehouse, missing = with_missing_pages
    site = warehouse.server.site
    purged = [site.records("pages")[0]["id"], *missing[:21]]
    for page in purged:
        site.purge_page(page)
    now = sync(warehouse, 2)
    assert [now[page] for page in purged] == [GONE] * 22
    spaces = {space["id"] for space in site.records("spaces")}
    (other,) = spaces - {site.get("pages", missing[30])["spaceId"]}
    site.get("pages", missing[30])["spaceId"] = other
    site.changed("pages")
    sync(warehouse)
    assert warehouse.rows(f"SELECT spaceId FROM _absent WHERE id = '{missing[30]}'") == [(other,)]


def test_a_page_is_not_removed_before_its_time(site: Server, synced: Warehouse) -> None:
    page = hide(site, "1000007")["id"]
    sync(synced, 2)
    deletions.erase(synced.connection, days=30)
    assert page in synced.ids("pages")
    synced.connection.execute("UPDATE _absent SET marked = marked - INTERVAL '31 days'")
    deletions.erase(synced.connection, days=30)
    assert page not in synced.ids("pages")


def test_what_is_in_the_trash_is_removed_in_its_time(site: Server) -> None:
    warehouse = Warehouse(site, *OF_PAGES, *OF_POSTS[1:])
    posts = [post["id"] for post in site.site.records("blog_posts")]
    kept = {"1000007": "trashed", "1000009": "deleted", posts[7]: "trashed"}
    gone = {"1000008": "trashed", "1000010": "deleted", posts[8]: "trashed"}

    def put(statuses: dict[str, str]) -> None:
        for record, status in statuses.items():
            site.site.set_status("blog_posts" if record in posts else "pages", record, status)

    def age(days: int) -> None:
        warehouse.connection.execute(f"UPDATE _absent SET marked = marked - INTERVAL '{days} days'")

    def erase() -> set[str]:
        deletions.erase(warehouse.connection, days=30)
        return (warehouse.ids("pages") | warehouse.ids("blog_posts")) & {*kept, *gone}

    sync(warehouse)
    put(kept | gone)
    sync(warehouse, 2)
    age(20)
    put(dict.fromkeys(kept, "current"))
    sync(warehouse)
    put(kept)  # the days begin again
    sync(warehouse)
    assert erase() == {*kept, *gone}
    age(11)
    site.deny("status=trashed")
    sync(warehouse)  # nothing is known
    assert erase() == {*kept, *gone}
    site.heal()
    sync(warehouse)
    assert erase() == {*kept}
    assert warehouse.rows(f"SELECT * FROM page_versions WHERE pageId IN {tuple(gone)}") == []
    sync(warehouse)
    # Still to be deleted from a search index:
    assert warehouse.ids("forget") | warehouse.ids("forget_posts") == {*kept, *gone}
    put(dict.fromkeys(gone, "current"))
    sync(warehouse, 2)
    found = warehouse.now() | warehouse.now("post_deletions")
    assert found == {**kept, **dict.fromkeys(gone, "missing")}


def test_a_page_that_is_purged_from_the_trash_is_deleted_by_two_reads(
    site: Server, synced: Warehouse
) -> None:
    site.site.trash_page("1000007")
    sync(synced, 2)
    site.site.purge_page("1000007")
    assert sync(synced) == {"1000007": "absent"}
    synced.erase()
    assert "1000007" in synced.ids("pages")
    assert sync(synced) == {"1000007": GONE}
    synced.erase()
    assert "1000007" not in synced.ids("pages")


def test_a_page_that_is_back_is_not_removed(site: Server, synced: Warehouse) -> None:
    page = hide(site, "1000007")
    sync(synced, 2)
    site.site.add("pages", page)
    synced.sync()
    synced.erase()  # before the deletions are applied
    assert page["id"] in synced.ids("pages")
    site.site.edit_page(page["id"])
    synced.sync()
    site.site.trash_page(page["id"])
    synced.sync()
    assert synced.now() == {page["id"]: "trashed"}
    synced.erase()  # its days in the trash have not begun
    assert page["id"] in synced.ids("pages")


# ------------------------------------------------------------------ the place of a page


def test_nothing_is_removed_while_the_index_says_nothing(site: Server, synced: Warehouse) -> None:
    hidden = hide(site, "1000007")
    assert sync(synced, 2) == {"1000007": "purged, hidden or moved out"}
    site.site.add("pages", hidden)  # without a new version
    site.fail(r"/pages\?.*trashed", times=None, status=500)
    assert set(sync(synced, _max_retries=0).values()) == {"unknown"}
    synced.erase()
    assert "1000007" in synced.ids("pages")
    site.heal()
    assert sync(synced) == {}
    assert "1000007" in synced.ids("living_pages")


def test_a_page_moved_without_a_new_version_has_its_new_place(site: Server, synced: Warehouse) -> None:
    moved = "1000007"
    site.site.get("pages", moved).update(spaceId="1004", parentId="1000004", parentType="page", position=7)
    site.site.changed("pages")
    place = f"SELECT spaceId, parentId FROM living_pages WHERE id = '{moved}'"
    synced.sync()
    assert synced.rows(place) == [("1004", "1000004")]
    synced.apply()
    rows = f"SELECT spaceId, parentId, parentType, position FROM pages WHERE id = '{moved}'"
    assert synced.rows(rows) == [("1004", "1000004", "page", 7)]


def test_a_page_that_moves_out_of_the_chosen_spaces_is_called_that(site: Server) -> None:
    warehouse = Warehouse(site, *OF_PAGES, space_keys=["S0", "S1"])
    sync(warehouse)
    moved = "1000000"
    site.site.get("pages", moved)["spaceId"] = "1005"
    site.site.changed("pages")
    assert sync(warehouse, 2) == {moved: GONE}
    assert warehouse.rows("SELECT space_before, space_now FROM deletions WHERE deleted") == [("1000", None)]
    site.site.get("pages", moved)["spaceId"] = "1001"
    site.site.changed("pages")
    assert sync(warehouse) == {}
    assert warehouse.rows(f"SELECT spaceId FROM pages WHERE id = '{moved}'") == [("1001",)]


def test_the_pages_of_a_space_that_is_no_longer_chosen_are_called_that(site: Server) -> None:
    warehouse = Warehouse(site, *OF_PAGES)
    sync(warehouse)
    assert sync(warehouse, 2, exclude_space_keys=["S5"]) == {
        str(1_000_005 + n * 6): "hidden with its space" for n in range(10)
    }


# ------------------------------------------------------------------ many pages at once


def absent(site: Server, space: str, count: int) -> set[str]:
    """Remove pages of a space."""
    found = [page["id"] for page in site.site.records("pages") if page["spaceId"] == space][:count]
    for page in found:
        site.site.purge_page(page)
    return set(found)


def test_more_than_twenty_pages_and_a_tenth_of_a_space_are_held_back() -> None:
    pages = 210 + 23 * 40  # 210 in the first space; those that are absent are less than a tenth of the site
    with Server(small(pages=pages, spaces=24, skew=170 / pages, blog_posts=0)) as site:
        warehouse = Warehouse(site, *OF_PAGES[:3])
        sync(warehouse)
        gone = absent(site, "1000", 21) | absent(site, "1001", 20)
        held = absent(site, "1002", 21) | absent(site, "1003", 40)
        assert sync(warehouse, 2) == dict.fromkeys(gone, GONE) | dict.fromkeys(held, "held back")
        assert warehouse.ids("forget") == gone
        assert len(warehouse.ids("living_pages")) == pages - len(gone)
        held |= absent(site, "1000", 21)  # now 189 are left
        assert sync(warehouse, 2) == dict.fromkeys(gone, GONE) | dict.fromkeys(held, "held back")


def test_what_is_held_back_is_deleted_on_demand() -> None:
    with Server(small(pages=320, spaces=8, blog_posts=0)) as site:
        warehouse = Warehouse(site, "space", "pages", "page_index")
        sync(warehouse)
        gone, others = absent(site, "1002", 21), absent(site, "1003", 21)
        assert set(sync(warehouse, 3).values()) == {"held back"}
        said = deletions.report(warehouse.connection, {"post_deletions": "blog_posts"})
        assert "Held back: 21 pages of S2. If they are deleted, add --allow S2." in said
        deletions.allow(warehouse.connection, "S2")
        warehouse.apply()
        assert warehouse.now() == {**dict.fromkeys(gone, GONE), **dict.fromkeys(others, "held back")}
        later = absent(site, "1002", 3)  # these are few
        assert sync(warehouse, 2) == {
            **dict.fromkeys(gone | later, GONE),
            **dict.fromkeys(others, "held back"),
        }
        deletions.allow(warehouse.connection, "all")
        warehouse.apply()
        assert set(warehouse.now().values()) == {GONE}


def test_the_pages_of_a_large_space_that_is_hidden_are_held_back_and_come_back() -> None:
    with Server(small(pages=50, spaces=2, blog_posts=0)) as site:
        warehouse = Warehouse(site, "space", "pages", "page_index")
        sync(warehouse)
        space = site.site.get("spaces", "1001")
        site.site.remove("spaces", "1001")
        assert list(sync(warehouse, 3).values()) == ["held back"] * 25
        site.site.add("spaces", space)
        assert sync(warehouse) == {}


def test_many_small_spaces_that_are_hidden_at_once_are_held_back() -> None:
    with Server(small(pages=120, spaces=24, blog_posts=0)) as site:
        warehouse = Warehouse(site, "space", "pages", "page_index")
        sync(warehouse)
        for space in list(site.site.records("spaces"))[12:]:
            site.site.remove("spaces", space["id"])
        assert list(sync(warehouse, 3).values()) == ["held back"] * 60


# ------------------------------------------------------------------ comments, attachments, and everything below a page


def test_deleted_comments_and_attachments_of_pages_that_exist_are_found_by_full_reads() -> None:
    with Server(small(comments=60, files=[5] * 6)) as site:
        site.site.collections["inline_comments"] = [
            {**copy.deepcopy(comment), "id": f"8{comment['id']}"}
            for comment in site.site.records("footer_comments")
        ]
        streams = ("footer_comments", "inline_comments", "attachments")
        warehouse = Warehouse(site, "space", "pages", "page_index", *streams)
        sync(warehouse)
        gone = {(name, site.site.records(name)[n]["id"]) for name in streams for n in (0, 3)}  # 0: the oldest
        trashed = site.site.records("attachments")[4]["id"]
        for name, deleted in gone:
            site.site.remove(name, deleted)
        site.site.set_status("attachments", trashed, "trashed")
        site.site.tick(DAY)

        def found(status: str) -> set[str]:
            views = [f"{name[:-1]}_deletions" for name in streams]
            return {i for view in views for i, now in warehouse.now(view).items() if now == status}

        sync(warehouse)  # reads only changes
        assert found("absent") | found("deleted") == set()
        sync(warehouse, full=True)
        ids = {deleted for _, deleted in gone}
        assert (found("absent"), found("deleted"), found("trashed")) == (ids, set(), {trashed})
        sync(warehouse)
        assert found("deleted") == set()
        sync(warehouse, full=True)
        assert (found("absent"), found("deleted"), found("trashed")) == (set(), ids, {trashed})
        marked = {(name, i) for name in streams for i in warehouse.ids(f"{name} WHERE status = 'deleted'")}
        assert marked == gone
        back = min(deleted for name, deleted in gone if name == "footer_comments")
        site.site.add("footer_comments", {**site.site.records("footer_comments")[0], "id": back})
        sync(warehouse, full=True)
        assert back not in found("deleted")
        warehouse.erase()
        for name in streams:
            assert warehouse.ids(name) == {record["id"] for record in site.site.records(name)}


def with_comments() -> Site:
    """Return the small site with a comment on each page and each post."""
    site = small(comments=60)
    for comment, post in zip(list(site.records("footer_comments")), site.records("blog_posts"), strict=True):
        on_post = {**copy.deepcopy(comment), "id": f"8{comment['id']}", "blogPostId": post["id"]}
        del on_post["pageId"]
        site.add("footer_comments", on_post)
    return site


@pytest.fixture(scope="module")
def first_of_comments() -> Warehouse:
    """Sync the comments for the first time."""
    with Server(with_comments()) as server:
        warehouse = Warehouse(server, *OF_PAGES[:3], *OF_POSTS[1:], "footer_comments")
        sync(warehouse)
    return warehouse


@pytest.fixture
def commented(first_of_comments: Warehouse) -> Iterator[Warehouse]:
    """Return a warehouse with a first sync of comments."""
    with Server(with_comments()) as server:
        yield first_of_comments.copy(server)


def deleted(warehouse: Warehouse) -> set[str]:
    return {i for i, now in warehouse.now("footer_comment_deletions").items() if now in ("absent", "deleted")}


def test_a_full_read_with_a_start_date_says_nothing_of_older_comments(commented: Warehouse) -> None:
    site = commented.server.site
    older, newer = (site.records("footer_comments")[n]["id"] for n in (3, 40))
    since = site.get("footer_comments", newer)["version"]["createdAt"]
    for comment in (older, newer):
        site.remove("footer_comments", comment)
    sync(commented, 2, full=True, start_date=since)
    assert deleted(commented) == {newer}
    sync(commented, full=True)  # the reads before it did not ask for the older one
    assert commented.now("footer_comment_deletions") == {older: "absent", newer: "deleted"}
    sync(commented, full=True)
    assert commented.now("footer_comment_deletions") == {older: "deleted", newer: "deleted"}


def test_a_full_read_with_a_start_date_that_is_not_understood_says_nothing(commented: Warehouse) -> None:
    site = commented.server.site
    site.remove("footer_comments", site.records("footer_comments")[3]["id"])
    with commented.one_sync(full=True, start_date="tomorrow") as read:
        read(*commented.streams, start_date="")
    assert deleted(commented) == set()


@pytest.mark.parametrize("left_out", [{"exclude_space_keys": ["S1"]}, {"space_keys": ["S0", "S2"]}])
def test_comments_in_spaces_that_a_full_read_leaves_out_are_not_deleted(
    commented: Warehouse, left_out: dict[str, Any]
) -> None:
    for _ in range(2):
        commented.sync("footer_comments", full=True, **left_out)
        commented.sync(*OF_PAGES[:3], *OF_POSTS[1:])  # with the comments of all spaces, they look deleted
        commented.apply()
    assert deleted(commented) == set()


@pytest.mark.parametrize("kind", ["pages", "blog_posts"])
def test_comments_of_a_page_or_post_that_is_hidden_are_not_deleted(commented: Warehouse, kind: str) -> None:
    site = commented.server.site
    hidden = site.records(kind)[7]
    field = "pageId" if kind == "pages" else "blogPostId"
    comments = [c for c in site.records("footer_comments") if c.get(field) == hidden["id"]]
    assert comments
    for name, record in ((kind, hidden), *(("footer_comments", comment) for comment in comments)):
        site.remove(name, record["id"])
    for _ in range(2):  # the index was read before the page was hidden
        commented.sync("footer_comments", full=True)
        commented.apply()
    assert deleted(commented) == set()
    sync(commented, 2, full=True)
    assert deleted(commented) == set()


@pytest.mark.parametrize("how", ["hidden", "trashed"])
def test_comments_of_a_page_that_comes_back_after_two_full_reads_are_not_deleted(
    commented: Warehouse, how: str
) -> None:
    site = commented.server.site
    page = site.records("pages")[7]
    comments = [c for c in site.records("footer_comments") if c.get("pageId") == page["id"]]
    assert comments
    for comment in comments:
        site.remove("footer_comments", comment["id"])
    if how == "hidden":
        site.remove("pages", page["id"])
    else:
        site.trash_page(page["id"])
    sync(commented, 2, full=True)
    if how == "hidden":
        site.add("pages", page)
    else:
        site.restore_page(page["id"])
    for comment in comments:
        site.add("footer_comments", comment)
    sync(commented)  # reads the index again, but not the comments
    assert deleted(commented) == set()
    commented.erase()
    assert {comment["id"] for comment in comments} <= commented.ids("footer_comments")


def test_an_empty_list_says_nothing_of_comments(commented: Warehouse) -> None:
    for comment in list(commented.server.site.records("footer_comments")):
        commented.server.site.remove("footer_comments", comment["id"])
    sync(commented, 2, full=True)
    assert deleted(commented) == set()


def test_a_comment_goes_with_its_page(site: Server) -> None:
    site.site.collections["footer_comments"] = generate(pages=60, spaces=6, comments=60).records(
        "footer_comments"
    )
    warehouse = Warehouse(site, "space", "pages", "page_index", "footer_comments")
    sync(warehouse)
    (comment,) = (c["id"] for c in site.site.records("footer_comments") if c["pageId"] == "1000007")
    site.site.trash_page("1000007")
    sync(warehouse)
    assert warehouse.now("footer_comment_deletions") == {comment: "deleted with its page"}
    site.site.restore_page("1000007")
    sync(warehouse)
    assert warehouse.now("footer_comment_deletions") == {}


@pytest.mark.parametrize("how", ["trashed", "purged"])
@pytest.mark.parametrize("kind", ["pages", "blog_posts"])
def test_a_comment_goes_with_its_page_also_if_the_page_is_older_than_the_start_date(
    commented: Warehouse, kind: str, how: str
) -> None:
    site = commented.server.site
    record, field = site.records(kind)[7], "pageId" if kind == "pages" else "blogPostId"
    comments = {c["id"] for c in site.records("footer_comments") if c.get(field) == record["id"]}
    assert comments
    commented.connection.execute(f"DELETE FROM {kind} WHERE id = '{record['id']}'")
    view = "deletions" if kind == "pages" else "post_deletions"
    sync(commented)
    assert commented.now(view) == {record["id"]: "missing"}
    if how == "trashed":
        site.set_status(kind, record["id"], "trashed")
    else:
        site.remove(kind, record["id"])
        for comment in comments:
            site.remove("footer_comments", comment)
        sync(commented)
        assert commented.now(view) == {record["id"]: "absent"}
    sync(commented)
    assert commented.now(view) == {record["id"]: "trashed" if how == "trashed" else GONE}
    if kind == "pages":
        gone = commented.now("footer_comment_deletions")
        assert gone == dict.fromkeys(comments, "deleted with its page")
    assert comments <= commented.ids("footer_comments")
    commented.erase()
    assert not comments & commented.ids("footer_comments")


# What a page, a post, custom content, an attachment or a comment is named by: one that is erased, and one that stays.
LINKS = {
    "pageId": ("1", "2"),
    "blogPostId": ("11", "12"),
    "customContentId": ("21", "22"),
    "attachmentId": ("31", "32"),
    "commentId": ("41", "42"),
    "parentCommentId": ("41", "42"),
}
ROOTS = {
    **dict.fromkeys(("pages", "rendered_pages"), LINKS["pageId"]),
    **dict.fromkeys(("blog_posts", "rendered_blog_posts"), LINKS["blogPostId"]),
    "content_restrictions": (*LINKS["pageId"], *LINKS["blogPostId"]),
    "page_index": ("2",),
    "blog_post_index": ("12",),
}


def links(name: str) -> list[str]:
    """Return the fields of a stream that name what a record belongs to: those of its key, if there are any."""
    stream = STREAMS[name]
    found = [f for f in stream.key if f in LINKS] or [f for f in LINKS if f in stream.schema["properties"]]
    return [f for f in found if f != "parentCommentId" or name.endswith("_replies")]


def below(name: str) -> list[dict[str, Any]]:
    """Return records of a stream: one for each link, to what is erased and to what stays."""
    numbers = iter(range(1, 99))
    ids = {"custom_content": "2", "attachments": "3", "footer_comments": "4", "inline_comments": "5"}
    found = []
    for field in links(name):
        for target in LINKS[field]:
            key = {f: f"{ids.get(name, name)}{next(numbers)}" for f in STREAMS[name].key}
            found.append({**key, field: target})
    return found


def test_everything_below_an_erased_page_goes_and_nothing_else(tmp_path: Path) -> None:
    records = {name: [{"id": i} for i in ids] for name, ids in ROOTS.items()}
    script = (recipes.FOLDER / "erase_deletions.sql").read_text(encoding="utf-8")
    # Each sync reads the others in full, without what is deleted.
    named = [name for name, stream in STREAMS.items() if stream.cursor or f"FROM {name} " in script]
    records |= {name: below(name) for name in named if links(name) and name not in ROOTS}
    file = database(tmp_path, {"space": [], **records})
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "INSERT INTO _absent (stream, id, since, marked) "
            "VALUES ('pages', '1', now(), now()), ('blog_posts', '11', now(), now())"
        )
        connection.execute(
            "INSERT INTO _syncs (stream, status, finished) "
            "VALUES ('page_index', 'COMPLETE', now()), ('blog_post_index', 'COMPLETE', now())"
        )
        deletions.erase(connection, days=0)
        for name in records:
            if name in ROOTS:
                left = connection.execute(f"SELECT id FROM {name}").fetchall()
                assert {i for (i,) in left} == {*ROOTS[name]} - {"1", "11"}, name
            for field in links(name):
                left = connection.execute(
                    f"SELECT DISTINCT {field} FROM {name} WHERE {field} IS NOT NULL"
                ).fetchall()
                assert left == [(LINKS[field][1],)], f"erase_deletions.sql leaves {name}.{field}"


def test_what_is_erased_goes_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records: dict[str, list[dict[str, Any]]] = {
        "space": [],
        "pages": [{"id": "1"}, {"id": "2"}],
        "page_index": [{"id": "2", "status": "current"}],
        "footer_comments": [{"id": "41", "pageId": "1"}],
        "footer_comment_versions": [{"commentId": "41", "number": 1}],
    }
    file = database(tmp_path, records)

    def run(query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(file)) as connection:
            return connection.execute(query).fetchall()

    run("INSERT INTO _absent (stream, id, since, marked) VALUES ('pages', '1', now(), now())")
    run("INSERT INTO _syncs (stream, status, finished) VALUES ('page_index', 'COMPLETE', now())")
    # A statement that fails ends the program where a signal would.
    run(
        "ALTER TABLE footer_comment_versions RENAME TO kept; CREATE VIEW footer_comment_versions AS FROM kept"
    )
    monkeypatch.setattr(sys, "argv", ["deletions", str(file), "--erase", "0"])
    with pytest.raises(SystemExit, match="only delete from base table"):
        deletions.main()
    assert run("SELECT id FROM pages UNION ALL SELECT id FROM footer_comments ORDER BY 1") == [
        ("1",),
        ("2",),
        ("41",),
    ]
    run("DROP VIEW footer_comment_versions; ALTER TABLE kept RENAME TO footer_comment_versions")
    deletions.main()
    left = "SELECT id FROM {} UNION ALL SELECT id FROM footer_comments UNION ALL SELECT commentId FROM {}"
    assert run(left.format("pages", "footer_comment_versions")) == [("2",)]


def test_the_report_says_what_is_deleted_absent_and_unknown(site: Server, synced: Warehouse) -> None:
    def said() -> str:
        (part,) = re.findall(r"What was deleted\?</b>(.+?)</li>", report.report(synced.connection), re.DOTALL)
        return " ".join(part.split())

    assert said() == "Deleted pages: 0."
    site.site.trash_page("1000001")
    absent(site, "1002", 1)
    sync(synced)
    assert said() == "Deleted pages: 1. Pages that the last read of page_index lacks: 1."
    absent(site, "1003", 10)
    absent(site, "1004", 10)
    absent(site, "1005", 5)
    sync(synced, 2)
    assert said() == "Deleted pages: 2. Held back, because so many are absent at once: 25."
    site.deny("/wiki/api/v2/pages")
    sync(synced)
    assert said().startswith("Not known for ")
    assert said().endswith("pages: page_index was not read completely, or not since pages was read.")


@pytest.mark.parametrize(
    ("name", "of_posts"),
    [
        ("deletions", "post_deletions"),
        ("apply_deletions", "apply_post_deletions"),
        ("forget", "forget_posts"),
        ("living_pages", "living_blog_posts"),
    ],
)
def test_the_documented_command_writes_the_recipe_for_posts(name: str, of_posts: str) -> None:
    text = (ROOT / "docs" / "incremental.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"sed -E '(.+?)'", text)
    command = ["sed", "-E", script, str(recipes.FOLDER / f"{name}.sql")]
    written = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    queries = {recipe.name: recipe.query for recipe in recipes.variants()}
    assert written.endswith(queries[of_posts] + "\n")


def test_the_deletions_before_the_first_sync_do_not_hinder_it(site: Server) -> None:
    warehouse = Warehouse(site, *OF_PAGES)
    warehouse.connection.execute("DROP TABLE _syncs")
    recipes.create_views(warehouse.connection)
    warehouse.apply()
    sync(warehouse, 2)
    counts = "SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM _syncs WHERE full_read IS NOT NULL)"
    assert warehouse.connection.execute(counts).fetchall() == [(60, 4)]


def test_the_program_reports_what_it_marks_and_holds_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = database(
        tmp_path,
        {
            "space": [{"id": "1", "key": "ENG"}],
            "pages": [{"id": str(n), "spaceId": "1", "status": "current"} for n in range(50)],
            "page_index": [{"id": str(n), "spaceId": "1", "status": "current"} for n in range(20)],
        },
    )

    def run(hours: int, *arguments: str) -> str:
        with duckdb.connect(str(file)) as connection:
            row = "SELECT 'page_index' AS stream, 'COMPLETE' AS status, now() + to_hours($hours) AS finished"
            connection.execute(f"INSERT OR REPLACE INTO _syncs BY NAME {row}", {"hours": hours})
        monkeypatch.setattr(sys, "argv", ["deletions", str(file), *arguments])
        deletions.main()
        return capsys.readouterr().out

    assert run(1) == f"pages: 30 absent, 20 current\n{NO_POSTS}"
    assert "Held back: 30 pages of ENG. If they are deleted, add --allow ENG." in run(2)
    assert run(3, "--allow", "ENG") == f"pages: 30 {GONE}, 20 current\n{NO_POSTS}"
    run(4, "--erase", "0")
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("SELECT count(*) FROM pages").fetchall() == [(20,)]
    with duckdb.connect(str(file)) as connection:
        connection.execute("DROP TABLE space")
    expected = f"pages: unknown without the stream space\n{NO_POSTS}"
    assert run(5, "--allow", "all") == expected
    command = [sys.executable, "-m", "tools.deletions", str(file)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout == expected


@pytest.mark.parametrize("part", [None, "", "1/1", "2/4", "11/11", "1/4 to 4/4"])
def test_the_program_refuses_the_database_of_one_part_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str | None
) -> None:
    file = database(
        tmp_path,
        {
            "space": [{"id": "1", "key": "ENG"}],
            "pages": [{"id": str(n), "spaceId": "1", "status": "current"} for n in range(2)],
            "page_index": [{"id": "0", "spaceId": "1", "status": "current"}],
        },
    )
    monkeypatch.setattr(sys, "argv", ["deletions", str(file), "--erase", "0"])
    with duckdb.connect(str(file)) as connection:
        row = "SELECT 'page_index' AS stream, 'COMPLETE' AS status, now() AS finished, $1 AS part"
        connection.execute(SYNCS)
        connection.execute(f"INSERT INTO _syncs BY NAME {row}", [part])
    if part in ("2/4", "11/11"):
        with pytest.raises(SystemExit, match=rf"holds part {part}.+tools\.combine"):
            deletions.main()
    else:
        deletions.main()
    with duckdb.connect(str(file)) as connection:
        absent = connection.execute("SELECT count(*) FROM _absent").fetchall()
        assert absent == [(0,) if part in ("2/4", "11/11") else (1,)]
