"""The recipe who_can_see shows what the embedded site permits, which decides from its own data, and never more."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import config_for, connector, discovered
from fake_confluence import Server, Site, company, generate
from fake_confluence.permissions import refusal, subject_of
from tools.load import Stream, resume, store, take
from unit_tests.access import in_duckdb, in_postgres
from unit_tests.client import Client
from unit_tests.few_streams import few_streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unit_tests.access import Ask
    from unit_tests.postgres import Postgres

    Seen = set[tuple[str, str]]

STREAMS = [
    *("space", "space_permissions", "space_roles", "space_role_assignments", "page_index", "blog_post_index"),
    *("tree_items", "users", "group_members", "content_restrictions", "page_restrictions"),
    *("blog_post_restrictions", "tree_item_restrictions"),
]
TEXTS = ["pages", "blog_posts", "page_labels", "blog_post_labels", "site_info"]
CHECK = "/wiki/rest/api/content/{}/permission/check"


def sync_here(server: Server, database: Path, *more: str) -> set[str]:
    """Sync in this process and return the statuses of the streams."""
    names = [*STREAMS, *more]
    with duckdb.connect(str(database)) as connection, ExitStack() as stack:
        stack.enter_context(few_streams(*names, group_size=25))
        streams = {}
        for name in names:
            file = stack.enter_context(database.with_name(f"{name}.jsonl").open("w", encoding="utf-8"))
            streams[name] = Stream(discovered(name), file)
        began = resume(connection, streams, {})
        for message in connector("read", config_for(server), select=names).messages:
            take(message, streams, lambda _read, _said: None)
        store(connection, streams, began, {})
    return {stream.status for stream in streams.values()}


def shown(ask: Ask) -> Seen:
    return {(account, content) for account, content in ask("SELECT accountId, id FROM who_can_see")}


def written(ask: Ask) -> Seen:
    return {
        (account, content)
        for account, content in ask("SELECT unnest(may_see), document_key FROM text_for_ai")
    }


def current(site: Site) -> list[dict[str, Any]]:
    found = [*site.records("pages"), *site.records("blog_posts")]
    return [record for record in found if record["status"] == "current"]


def permitted(site: Site) -> Seen:
    """Return which people may read which pages and posts."""
    people = [user["accountId"] for user in site.records("users") if user["accountType"] == "atlassian"]
    subjects = {account: subject_of(site, "user", account) for account in people}
    return {
        (account, content["id"])
        for account, subject in subjects.items()
        for content in current(site)
        if subject and not refusal(site, content, subject)
    }


# ------------------------------------------------------------------ the company


def test_the_company_is_shown_as_confluence_permits_it(tmp_path: Path, postgres: Postgres) -> None:
    with Server(company(small=True)) as server:
        database = tmp_path / "confluence.duckdb"
        assert sync_here(server, database, *TEXTS) == {"COMPLETE"}
        allowed, client = set(), Client(server)
        for user in server.site.records("users"):
            for content in current(server.site):
                subject = {"type": "user", "identifier": user["accountId"]}
                asked = {"subject": subject, "operation": "read"}
                if client.post(CHECK.format(content["id"]), asked).body["hasPermission"]:
                    allowed.add((user["accountId"], content["id"]))
        apps = {user["accountId"] for user in server.site.records("users") if user["accountType"] == "app"}
        expected = {(account, content) for account, content in allowed if account not in apps}
    with duckdb.connect(str(database)) as connection:
        for ask in (in_duckdb(connection), in_postgres(connection, postgres)):
            assert shown(ask) == written(ask) == expected


# ------------------------------------------------------------------ a random site that changes


class Changing:
    """A small site with all kinds of people, permissions and restrictions, and random changes of it.

    One person has no access to Confluence: the search for all users finds it.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.site = generate(pages=24, spaces=4, blog_posts=6, tree_items=6, users=9, groups=4, body_bytes=20)
        self.groups = [group["id"] for group in self.site.records("groups")]
        self.people = [user["accountId"] for user in self.site.records("users")]
        self.named = [*self.people, "712020:left"]
        for n, user in enumerate(self.site.records("users")):
            guest = n in (5, 6)
            user.update(
                accountType="app" if n == 7 else "atlassian",
                accountStatus="active",
                isGuest=guest,
                isExternalCollaborator=guest,
                _permissionTypes=["all", *([] if n == 8 else ["externalCollaborator" if guest else "none"])],
                _groups=self.some(self.groups, 2),
            )
        self.spaces = [space["id"] for space in self.site.records("spaces")]
        self.site.records("spaces")[3].update(type="personal", status="archived")
        for name in ("space_permissions", "space_role_assignments", "content_restrictions"):
            self.site.collections[name] = []
        self.site.collections["space_roles"] = [
            {"id": role, "type": "CUSTOM", "name": role, "description": "", "spacePermissions": permissions}
            for role, permissions in (("reader", ["space/read"]), ("writer", ["page/create"]))
        ]
        for content in self.contents():
            content.update(parentId=None, parentType=None)
            self.move(content)
        for _ in range(12):
            self.permit()
        for _ in range(20):
            self.restrict()
        self.site.changed(*self.site.collections)

    def some(self, names: list[str], most: int) -> list[str]:
        return self.random.sample(names, min(len(names), self.random.randint(0, most)))

    def contents(self) -> list[dict[str, Any]]:
        return [*self.site.records("pages"), *self.site.records("tree_items")]

    def children(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        return [each for each in self.contents() if each.get("parentId") == content["id"]]

    def below(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        return [content, *(each for child in self.children(content) for each in self.below(child))]

    def change(self) -> None:
        """Make one change."""
        made: list[Callable[[], None]] = [self.restrict, self.restrict, self.permit, self.join, self.edit]
        made += [
            self.move_any,
            self.move_any,
            self.turn,
            self.archive,
            self.trash,
            self.add,
            self.delete_group,
        ]
        with self.site.lock:
            self.random.choice(made)()
            self.site.changed(*self.site.collections)

    def once(self) -> Callable[[object], None]:
        """Return a hook that makes one change, before one of the next requests."""
        left = self.random.randint(1, 20)

        def hook(_request: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.change()

        return hook

    def move(self, content: dict[str, Any]) -> None:
        """Move a content with all below it to another place of the tree."""
        space = self.random.choice(self.spaces)
        moved = {each["id"] for each in self.below(content)}
        places = [each for each in self.contents() if each["spaceId"] == space and each["id"] not in moved]
        parents = [each for each in places if each["status"] == "current"]
        parent = self.random.choice([None, *parents])
        kind = None if parent is None else parent.get("type", "page")
        content.update(parentId=parent and parent["id"], parentType=kind)
        for each in self.below(content):
            each["spaceId"] = space

    def move_any(self) -> None:
        content = self.random.choice(self.contents())
        if content["status"] == "current":
            self.move(content)
            self.site.edit("tree_items" if "type" in content else "pages", content["id"])

    def restrict(self) -> None:
        """Give a content a list of readers, or remove it; sometimes of more people than one response has."""
        content = self.random.choice([*self.contents(), *self.site.records("blog_posts")])
        lists = self.site.records("content_restrictions")
        lists[:] = [each for each in lists if each["_contentId"] != content["id"]]
        if self.random.random() < 0.7:
            users, groups = self.some(self.named, 5), self.some(self.groups, 2)
            many = [f"712020:left-{n}" for n in range(230)] if self.random.random() < 0.2 else []
            operation = self.random.choice(["read", "read", "update"])
            named = {"_users": [*many, *users], "_groups": groups}
            lists.append({"operation": operation, "_contentId": content["id"], **named})

    def permit(self) -> None:
        """Give somebody permission in a space, or take it away."""
        space = self.random.choice(self.spaces)
        permissions, assigned = (
            self.site.records(name) for name in ("space_permissions", "space_role_assignments")
        )
        if self.random.random() < 0.3:
            held = self.random.choice([permissions, assigned])
            if held:
                held.remove(self.random.choice(held))
            return
        kind, principal = self.random.choice(
            [
                *(("user", self.random.choice(self.people)) for _ in range(4)),
                *(("group", group) for group in self.groups),
                *(("role", "reader"), ("role", "writer"), ("access-class", "all-licensed-users")),
                ("access-class", "anonymous-users"),
            ]
        )
        if kind != "role" and self.random.random() < 0.4:
            role = self.random.choice(["reader", "writer"])
            named = {"principalType": kind.upper().replace("-", "_"), "principalId": principal}
            row = {"principal": named, "roleId": role, "_roleType": "CUSTOM", "_spaceId": space}
            assigned[:] = [e for e in assigned if (e["principal"], e["_spaceId"]) != (named, space)]
            assigned.append({**row, "_key": self.site.new_id()})
        else:
            key = self.random.choice(["read", "read", "read", "export"])
            operation = {"key": key, "targetType": "space"}
            row = {"principal": {"type": kind, "id": principal}, "operation": operation, "_spaceId": space}
            permissions.append({"id": self.site.new_id(), **row})

    def join(self) -> None:
        """Change the groups of a person."""
        user = self.random.choice(self.site.records("users"))
        user["_groups"] = self.some(self.groups, 2)

    def delete_group(self) -> None:
        groups = self.site.records("groups")
        if len(groups) > 1:
            self.groups.remove(groups.pop()["id"])

    def turn(self) -> None:
        """Deactivate or activate a person, or make a guest of one."""
        user = self.random.choice(self.site.records("users")[:7])
        if self.random.random() < 0.5:
            user["accountStatus"] = "inactive" if user["accountStatus"] == "active" else "active"
        else:
            guest = not user["isGuest"]
            user.update(isGuest=guest, isExternalCollaborator=guest)
            user["_permissionTypes"] = ["all", "externalCollaborator" if guest else "none"]

    def edit(self) -> None:
        page = self.random.choice([p for p in self.site.records("pages") if p["status"] == "current"])
        self.site.edit_page(page["id"], title=f"Edited {page['title']}"[:200])

    def archive(self) -> None:
        self.site.archive_page(self.random.choice(self.site.records("pages"))["id"])

    def trash(self) -> None:
        """Trash a page; what is below it moves to its parent."""
        page = self.random.choice(self.site.records("pages"))
        for child in self.children(page):
            child.update(parentId=page["parentId"], parentType=page["parentType"])
        self.site.trash_page(page["id"])

    def add(self) -> None:
        self.move(self.site.add_page("New", space_id=self.spaces[0]))


# What a sync can fail to read.
FAULTS = (
    *(r"/content/\d+[02468]/restriction", r"/content/\d+[13579]/restriction", "/content/search"),
    *(r"/spaces/100[01]/permissions", r"/spaces/100[23]/role-assignments", "/space-roles", "/search/user"),
    *(
        r"/group/0000000[02]\S*/membersByGroupId",
        r"/pages\?",
        r"/blogposts\?",
        r"/(folder|whiteboard)s/",
        "type=folder",
    ),
)


@pytest.mark.parametrize("seed", [10, 11, 1])
def test_a_random_site_is_shown_as_confluence_permits_it(
    seed: int, tmp_path: Path, postgres: Postgres
) -> None:
    changing, database = Changing(seed), tmp_path / "confluence.duckdb"
    with Server(changing.site) as server:
        # The number of faults, and whether the site changes while it is read.
        for count, changes in ((0, False), (1, True), (2, False), (0, True), (0, False)):
            faults, allowed = changing.random.sample(FAULTS, count), permitted(changing.site)
            for fault in faults:
                server.deny(fault)
            if changes:
                server.before("/restriction|/content/search", changing.once())
            statuses = sync_here(server, database)
            server.heal()
            allowed |= permitted(changing.site)
            with duckdb.connect(str(database)) as connection:
                seen = shown(in_duckdb(connection))
                assert seen <= allowed, faults
                assert shown(in_postgres(connection, postgres)) == seen
            if statuses == {"COMPLETE"} and not changes:
                assert seen == allowed
            for _ in range(12):
                changing.change()
