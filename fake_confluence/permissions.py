"""Decide who may read a content from the site's own data, as Confluence does: queries are tested against it.

Documented: the three checks (site, space, restrictions), what anonymous access to a space allows, and that a guest
can be in one space at a time. Assumed: a guest who is given access to several spaces gets none of them, and
`space/read` among the permissions of a role is the permission to read the space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_confluence.site import Record, Site

_LICENSED, _ANONYMOUS = ("access-class", "all-licensed-users"), ("access-class", "anonymous-users")


@dataclass(frozen=True)
class Subject:
    """Who asks for a content.

    Attributes:
        name: How Confluence calls the subject in an answer.
        principals: The user, the groups and the classes to which the subject belongs.
        active: Whether the subject can use Confluence.
        guest: Whether it is a guest.
    """

    name: str
    principals: frozenset[tuple[str, str]]
    active: bool = True
    guest: bool = False


def subject_of(site: Site, kind: str, identifier: str) -> Subject | None:
    """Return a user, a group or the anonymous visitor; None if there is none."""
    if kind == "group":
        found = site.find("groups", "id", identifier)
        return Subject("Group", frozenset({("group", identifier), _ANONYMOUS})) if found else None
    if identifier == "anonymous":
        return Subject("Anonymous user", frozenset({_ANONYMOUS}))
    users = site.find("users", "accountId", identifier)
    if not users:
        return None
    (user,) = users
    held = user.get("_permissionTypes", [])
    guest, licensed = "externalCollaborator" in held, "none" in held
    groups = {("group", each) for each in user.get("_groups", []) if site.find("groups", "id", each)}
    classes = {_ANONYMOUS, *([_LICENSED] if licensed and not guest else [])}
    active = user.get("accountStatus", "active") == "active" and (guest or licensed)
    return Subject("User", frozenset({("user", identifier), *groups, *classes}), active, guest)


def refusal(site: Site, content: Record, subject: Subject) -> str:
    """Return why a subject may not read a content; an empty text if it may."""
    if not subject.active:
        return f"{subject.name} is not allowed to use Confluence"
    if not _reads_space(site, content["spaceId"], subject):
        return f"{subject.name} does not have permission to the space"
    steps = (content, *_ancestors(site, content))
    if not all(_is_listed(site, step, subject) for step in steps):
        return f"{subject.name} does not have permission to the content"
    return ""


def _reads_space(site: Site, space_id: str, subject: Subject) -> bool:
    readers = _readers(site, space_id)
    if _ANONYMOUS in readers:
        return True
    if not subject.principals & readers:
        return False
    return not subject.guest or len(_spaces_of_guest(site, subject)) == 1


def _spaces_of_guest(site: Site, guest: Subject) -> list[str]:
    each = ((space["id"], _readers(site, space["id"])) for space in site.records("spaces"))
    return [name for name, readers in each if guest.principals & readers and _ANONYMOUS not in readers]


def _readers(site: Site, space_id: str) -> set[tuple[str, str]]:
    """Return the users, groups and classes that may read a space."""
    direct = {
        (permission["principal"]["type"], permission["principal"]["id"])
        for permission in site.find("space_permissions", "_spaceId", space_id)
        if permission["operation"] == {"key": "read", "targetType": "space"}
    }
    roles = {name for kind, name in direct if kind == "role"}
    roles |= {role["id"] for role in site.records("space_roles") if "space/read" in role["spacePermissions"]}
    assigned = (
        each["principal"]
        for each in site.find("space_role_assignments", "_spaceId", space_id)
        if each["roleId"] in roles
    )
    return direct | {(p["principalType"].lower().replace("_", "-"), p["principalId"]) for p in assigned}


def _ancestors(site: Site, content: Record) -> Iterator[Record]:
    seen = {content["id"]}
    while (parent := content.get("parentId")) and parent not in seen:
        seen.add(parent)
        found = [r for name in ("pages", "tree_items") for r in site.find(name, "id", parent)]
        if not found:
            return
        (content,) = found
        yield content


def _is_listed(site: Site, content: Record, subject: Subject) -> bool:
    """Return whether a content has no list of readers of its own, or the subject is in it."""
    lists = site.find("content_restrictions", "_contentId", content["id"])
    named = {
        principal
        for each in lists
        if each["operation"] == "read"
        for kind in ("user", "group")
        for principal in ((kind, name) for name in each[f"_{kind}s"])
    }
    return not named or bool(named & subject.principals)
