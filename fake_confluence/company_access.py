"""People, groups, permissions, roles, restrictions, watchers, the audit log, levels and states."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fake_confluence.site import Record, milliseconds

if TYPE_CHECKING:
    from fake_confluence.making import Making

_ZONES = {"Bergen": "Europe/Oslo", "Yokohama": "Asia/Tokyo", "Singapore": "Asia/Singapore"}


def add_people(making: Making) -> None:
    """Add groups and users, and the members of each group."""
    for n, name in enumerate(making.text["groups"]):
        group_id = making.uuid()
        record = {
            "type": "group",
            "name": name,
            "id": group_id,
            "resourceAri": f"ari:cloud:identity::group/{group_id}",
            "usageType": "TEAM_COLLABORATION" if n > 1 else "USERBASE_GROUP",
            "managedBy": "ADMINS" if n < 2 else "TEAM_MEMBERS",
            "_accessType": "admin" if name == "confluence-admins" else "user",
            "_links": {"self": f"/rest/api/group/by-id?id={group_id}"},
        }
        making.put("groups", record)
    ids = {group["name"]: group["id"] for group in making.records("groups")}
    for n, texts in enumerate(making.text["people"]):
        making.put("users", _user(making, n, texts, ids))


def _user(making: Making, n: int, texts: list[str], groups: dict[str, str]) -> Record:
    name, position, department, town = texts
    account, app, guest = making.people[n], not department, department == "Partner"
    member = ["contractors"] if guest else ["confluence-users"]
    member += [department.lower()] * (department.lower() in groups)
    member += ["confluence-admins"] * (n in (0, 3, 26))
    record: Record = {
        "type": "known",
        "username": None,
        "userKey": None,
        "accountId": account,
        "accountType": "app" if app else "atlassian",
        "accountStatus": "active" if n != 37 else "inactive",
        # Most people show their email address, some do not.
        "email": "" if app or n % 6 == 5 else f"{name.split()[0].lower()}@norrvik.example",
        "publicName": name,
        "displayName": name if n != 37 else None,
        "profilePicture": {
            "path": f"/wiki/aa-avatar/{account}",
            "width": 48,
            "height": 48,
            "isDefault": n % 4 == 0,
        },
        "timeZone": None if app else _ZONES.get(town, "Europe/Stockholm"),
        "locale": "en_GB",
        "externalCollaborator": guest,
        "isExternalCollaborator": guest,
        "isGuest": guest,
        "_groups": [groups[each] for each in member],
        "_permissionTypes": ["all", "externalCollaborator" if guest else "none"],
        "_expandable": {"operations": "", "details": "", "personalSpace": ""},
        "_links": {"self": f"/rest/api/user?accountId={quote(account)}"},
    }
    if n in (0, 7):
        # Two records have everything that can be expanded.
        details = {"position": position, "department": department, "location": town}
        personal = {"phone": "", "im": "", "website": "", "email": record["email"]}
        record["details"] = {"business": details, "personal": personal}
        record["operations"] = [{"operation": "use", "targetType": "application"}]
        record["personalSpace"] = {
            "key": "~ines" if n == 0 else "~samuel",
            "name": name,
            "type": "personal",
            "status": "current",
            "_expandable": {},
            "_links": {"webui": f"/spaces/~{name.split()[0].lower()}"},
        }
        record["_expandable"] = {"operations": "", "details": "", "personalSpace": ""}
    return record


_GRANTS = (
    ("read", "space"),
    ("create", "page"),
    ("create", "comment"),
    ("delete", "page"),
    ("export", "space"),
    ("administer", "space"),
)


def add_permissions(making: Making) -> None:
    """Add roles, their assignments in each space, and the resulting permissions."""
    groups = {group["name"]: group["id"] for group in making.records("groups")}
    roles = [_role(making, *texts) for texts in _ROLES]
    permission = 9_000
    for space in making.records("spaces"):
        kinds: list[tuple[str, str, tuple[tuple[str, str], ...]]] = [
            ("group", groups["confluence-users"], _GRANTS[:5])
        ]
        kinds.append(("user", space["spaceOwnerId"], (*_GRANTS, ("manage_users", "space"))))
        kinds.append(("access-class", "all-licensed-users", _GRANTS[:1]))
        kinds.append(("role", roles[0]["id"], (*_GRANTS[-1:], ("archive_space", "space"))))
        for kind, principal, grants in kinds:
            for key, target in grants:
                permission += 1
                making.put(
                    "space_permissions",
                    {
                        "id": str(permission),
                        "principal": {"type": kind, "id": principal},
                        "operation": {"key": key, "targetType": target},
                        "_spaceId": space["id"],
                    },
                )
        given = [(roles[0], "USER", space["spaceOwnerId"])]
        given.append((roles[1], "GROUP", groups["confluence-users"]))
        given.append((roles[2], "ACCESS_CLASS", "all-licensed-users"))
        if space["key"] == "BUOY4":  # guests can be in one space at a time
            given.append((roles[4], "GROUP", groups["contractors"]))
        for role, kind, principal in given:
            _assign(making, space, role, kind, principal)
    making.put("space_roles", *roles)


_ROLES = (
    ("SYSTEM", "Admin", "Looks after the space.", ["space/administer", "space/read"]),
    ("SYSTEM", "Collaborator", "Writes pages and comments.", ["page/create", "comment/create"]),
    ("SYSTEM", "Viewer", "Reads.", ["space/read"]),
    ("SYSTEM", "Manager", "Writes, and decides who may.", ["page/create", "page/delete"]),
    ("CUSTOM", "Field guest", "Reads, and comments from the quay.", ["space/read", "comment/create"]),
)


def _role(making: Making, kind: str, name: str, about: str, permissions: list[str]) -> Record:
    known = {"id": making.uuid(), "type": kind, "name": name, "description": about}
    lists: Record = {"_spaceIds": [], "_principalIds": [], "_principalTypes": []}
    return {**known, "spacePermissions": permissions, **lists}


def _assign(making: Making, space: Record, role: Record, kind: str, principal: str) -> None:
    role["_spaceIds"].append(space["id"])
    role["_principalIds"].append(principal)
    role["_principalTypes"].append(kind)
    making.put(
        "space_role_assignments",
        {
            "principal": {"principalType": kind, "principalId": principal},
            "roleId": role["id"],
            "_roleType": role["type"],
            "_spaceId": space["id"],
            "_key": len(making.records("space_role_assignments")) + 1,
        },
    )


def add_who_left(making: Making) -> None:
    """Add a user who left the site: in no list, but still the author of a page and of a comment on it."""
    account = f"557058:{making.uuid()}"
    user: Record = dict.fromkeys(making.records("users")[0]) | {
        "type": "known",
        "accountId": account,
        "accountType": "atlassian",
        "email": "",
        "publicName": "Torbjörn Ek (Deactivated)",
        "profilePicture": {"path": "/wiki/aa-avatar/default", "width": 48, "height": 48, "isDefault": True},
        "isExternalCollaborator": False,
        "isGuest": False,
        "_groups": [],
        "_permissionTypes": [],
        "_expandable": {"operations": "", "details": "", "personalSpace": ""},
        "_links": {"self": f"/rest/api/user?accountId={quote(account)}"},
    }
    making.put("users", {name: value for name, value in user.items() if value is not None})
    pages = sorted(making.records("pages"), key=lambda page: page["title"] != "Retiring the old portal")
    unedited = [c for c in making.records("footer_comments") if c["version"]["number"] == 1]
    page, comment = next((p, c) for p in pages for c in unedited if c.get("pageId") == p["id"])
    page |= {"authorId": account, "ownerId": account}
    for record, versions in ((page, "page_versions"), (comment, "footer_comment_versions")):
        kept = (
            v for v in making.records(versions) if record["id"] in (v.get("_pageId"), v.get("_commentId"))
        )
        for version in (record["version"], *kept):
            version["authorId"] = account
        record["version"]["contributorIds"] = [account]


def add_restrictions(making: Making) -> None:
    """Restrict pages, posts and tree items; one page names 250 users, most of whom have left."""
    groups = [group["id"] for group in making.records("groups")]
    pages, posts = making.records("pages"), making.records("blog_posts")
    left = [f"557058:{making.uuid()}" for _ in range(250 - len(making.people))]
    for n, record in enumerate([*pages[4::11], *posts[2::6]]):
        users = (
            making.people
            if n == 1
            else [making.people[0], *making.random.sample(making.people[1:], 1 + n % 3)]
        )
        for operation in ("read", "update") if n % 2 else ("update",):
            making.put(
                "content_restrictions",
                {
                    "operation": operation,
                    "_contentId": record["id"],
                    "_users": [*users, *left] if n == 1 and operation == "read" else list(users),
                    "_groups": groups[2 : 3 + n % 3],
                },
            )
    # The teams of the gauges can read the folder Incidents; a restriction of a database names everybody.
    items = {item["title"]: item["id"] for item in making.records("tree_items")}
    for title, operation, people, teams in (
        ("Incidents", "read", making.people[:1], groups[2:6]),
        ("Stations", "read", making.people, []),
        ("Stations", "update", making.people[7:8], groups[2:]),
        ("Mooring sketch", "update", making.people[3:5], []),
        ("Fair stand drawing", "update", making.people[5:6], []),
    ):
        named = {"_contentId": items[title], "_users": list(people), "_groups": list(teams)}
        making.put("content_restrictions", {"operation": operation, **named})


def add_watchers(making: Making) -> None:
    """Add the watchers of pages and spaces."""
    for n, page in enumerate(making.records("pages")):
        for k in range(n % 4):
            watch = _watch(making.records("users")[(n + 5 * k) % 39])
            making.put("page_watchers", {"type": "content", **watch, "contentId": int(page["id"])})
    for n, space in enumerate(making.records("spaces")):
        for k in range(2 + n % 4):
            watch = _watch(making.records("users")[(3 * n + k) % 39])
            record = {"type": "space", **watch, "spaceKey": space["key"], "_spaceId": space["id"]}
            making.put("space_watchers", record)
    # One watches a label, and so the content with that label.
    making.records("space_watchers")[0].update(labelName="runbook", prefix="global")


def _watch(user: Record) -> Record:
    hidden = ("accountStatus", "locale")
    watcher = {name: value for name, value in user.items() if name not in hidden and name[0] != "_"}
    watcher.setdefault("operations", [])
    watcher["displayName"] = user["publicName"]
    # Fields that are not expanded exist, but are empty.
    watcher.setdefault("personalSpace", {})
    return {"watcher": watcher}


def add_audit(making: Making) -> None:
    """Add three years of audit events; some have the same millisecond."""
    kinds = making.text["audit"]
    users = making.records("users")
    timestamp = milliseconds("2023-07-03T07:00:00Z")
    for n in range(310):
        category, summary, kind = kinds[(n * 5 + n // 12) % len(kinds)]
        if n % 10 not in (3, 4):
            timestamp += making.random.randint(60_000, 2 * 86_400_000 + n * 100_000)
        user = users[making.random.randrange(len(users))]
        making.put("audit", _event(making, n, (category, summary, kind), user, timestamp))


def _event(making: Making, n: int, texts: tuple[str, str, str], user: Record, timestamp: int) -> Record:
    category, summary, kind = texts
    named = {
        "Group": [group["name"] for group in making.records("groups")],
        "Space": [space["name"] for space in making.records("spaces")],
        "Page": [page["title"] for page in making.records("pages")],
        "Site": ["Norrvik Instruments"],
        "App": ["Survey", "Risks", "Tide table"],
    }[kind]
    author: Record = {
        "type": "user",
        "displayName": user["publicName"],
        "operations": [{"operation": "administer", "targetType": "application"}] if n == 0 else None,
        "username": user["accountId"].partition(":")[2][:8],
        "userKey": user["accountId"].partition(":")[2].replace("-", ""),
        "accountId": user["accountId"],
        "accountType": user["accountType"],
        "externalCollaborator": user["externalCollaborator"],
        "isExternalCollaborator": user["isExternalCollaborator"],
        "isGuest": user["isGuest"],
        "publicName": user["publicName"],
    }
    changed = {"name": "Permission", "oldValue": "", "newValue": "View"}
    associated = [{"name": user["publicName"], "objectType": "User"}]
    return {
        "author": author,
        "remoteAddress": "" if n % 7 == 6 else f"203.0.113.{1 + n % 250}",
        "creationDate": timestamp,
        "summary": summary,
        "description": "Norrvik" if n % 20 == 0 else "",
        "category": category,
        "sysAdmin": False,
        "superAdmin": n % 50 == 0,
        "affectedObject": {"name": named[n * 7 % len(named)], "objectType": kind},
        "changedValues": [{**changed, "hiddenOldValue": "", "hiddenNewValue": ""}]
        if category == "Permissions"
        else [],
        "associatedObjects": associated if n % 2 else [],
        "_key": n,
    }


def add_levels_and_states(making: Making) -> None:
    """Add classification levels and content states, and assign them to content."""
    for n, (name, colour, about) in enumerate(_LEVELS):
        level = {
            "id": making.uuid(),
            "status": "PUBLISHED" if n < 3 else "DRAFT",
            "order": n,
            "name": name,
            "description": about,
            "guideline": f"Choose {name} when in doubt between it and the level below.",
            "color": colour,
        }
        making.put("classification_levels", level)
    levels = [level["id"] for level in making.records("classification_levels")]
    for collection, every in (("spaces", 3), ("pages", 4), ("blog_posts", 3), ("tree_items", 9)):
        for n, record in enumerate(making.records(collection)):
            record["_classified"] = "yes" if n % every else "no"
            record["_level"] = levels[n % 3]
    for collection in ("pages", "blog_posts"):
        for n, record in enumerate(making.records(collection)):
            number = n % 7
            if number < len(_STATES):
                record["_state"] = {
                    "id": _STATES[number][0],
                    "name": _STATES[number][1],
                    "color": _STATES[number][2],
                }


# A user made the last state; the others exist in every space.
_STATES = (
    (0, "Rough draft", "#ffc400"),
    (1, "In progress", "#2684ff"),
    (2, "Ready for review", "#57d9a3"),
    (90_117, "Checked at sea", "#ff7452"),
)
_LEVELS = (
    ("Public", "GREEN", "Anybody may read it."),
    ("Internal", "BLUE", "For those who work here."),
    ("Confidential", "RED", "For those who are named."),
    ("Sealed", "PURPLE", "For nobody without a second signature."),
)
