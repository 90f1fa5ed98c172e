"""Generate a site of any size, quickly; it contains only the requested records."""

from __future__ import annotations

import gc
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from fake_confluence.site import Record, Site, format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGIN = datetime(2021, 1, 4, 8, 0, tzinfo=timezone.utc)
_END = datetime(2026, 6, 30, 12, 0, tzinfo=timezone.utc)
_SPACE, _PAGE, _POST = 1_000, 1_000_000, 50_000_000
_TREE_ITEM, _COMMENT, _LABEL, _FILE = 60_000_000, 70_000_000, 90_000_000, 95_000_000


def generate(  # noqa: PLR0913 - a call names the few that it needs
    *,
    pages: int = 1_000,
    spaces: int = 10,
    blog_posts: int = 0,
    tree_items: int = 0,
    restricted: int = 0,
    groups: int = 0,
    users: int = 10,
    audit_events: int = 0,
    labels: int = 0,
    labels_per_page: int = 1,
    comments: int = 0,
    files: Sequence[int] = (),
    versions_per_page: int = 0,
    body_bytes: int = 1_000,
    skew: float = 0.0,
) -> Site:
    """Generate a site; the same arguments always give the same site.

    Pages are edited in a separate order, evenly from 2021 to mid-2026. Ids increase with the index of the page: page n
    (from 0) has the id 1000000 + n.

    Args:
        pages: Number of pages; one in fifty is archived.
        spaces: Number of spaces; all are current.
        blog_posts: Number of posts, evenly distributed over spaces and time.
        tree_items: Number of folders, whiteboards, databases and embeds together, evenly distributed over spaces.
        restricted: One in this many pages, posts and tree items is restricted to some users and groups; 0 for none.
        groups: Number of groups; user n is in group n modulo this.
        users: Number of users, who are the authors.
        audit_events: Number of events; one in five has the same millisecond as another.
        labels: Number of labels; page n has label n modulo this,
        labels_per_page: and the labels after it, this many in total.
        comments: Number of footer comments; page after page gets one.
        files: The sizes in bytes of the files attached to the first page.
        versions_per_page: Number of versions of each page; 0 for no versions.
        body_bytes: The size of the body that all pages and posts share.
        skew: The share of the pages (0 to 1) in the first space; the other spaces share the rest
            evenly.
    """
    gc.disable()  # hundreds of thousands of new objects, and no garbage
    try:
        people = [_account(n) for n in range(max(1, users))]
        body = _body(body_bytes)
        held = [
            [str(_LABEL + (n + more) % labels) for more in range(labels_per_page)]
            for n in range(min(labels, pages))
        ]
        site = Site(
            {
                "users": [_user(n, groups) for n in range(users)],
                "spaces": [_space(n, people) for n in range(spaces)],
                "pages": _pages(pages, spaces, people, body, held, versions_per_page, skew),
                "blog_posts": _blog_posts(blog_posts, spaces, people, body),
                "groups": [_group(n) for n in range(groups)],
                "audit": [_event(n, audit_events, people) for n in range(audit_events)],
                "labels": [_label(n) for n in range(labels)],
                "attachments": [_attachment(n, size, people) for n, size in enumerate(files)],
                "footer_comments": [_comment(n, pages, people) for n in range(comments)],
            },
            now=format_time(_END),
        )
        if tree_items:
            site.collections["tree_items"] = [_tree_item(n, spaces, people) for n in range(tree_items)]
        if restricted:
            site.collections["content_restrictions"] = _restrictions(site, restricted, people)
        if versions_per_page:
            site.collections["page_versions"] = _versions(site, versions_per_page, body)
        return site
    finally:
        gc.enable()


def _account(n: int) -> str:
    return f"712020:{n:08x}-0000-4000-8000-{n:012x}"


def _times(count: int) -> list[str]:
    """Return this many timestamps from begin to end, some of them without milliseconds."""
    step = (_END - _BEGIN) / max(1, count)
    made = []
    for n in range(count):
        text = (_BEGIN + n * step).isoformat(timespec="milliseconds")
        made.append((text[:19] if n % 3 == 0 else text[:23]) + "Z")
    return made


def _body(size: int) -> dict[str, str]:
    text = ("The quick notes of a generated page. " * (size // 37 + 1))[: max(0, size - 7)]
    adf = (
        '{"type":"doc","version":1,"content":[{"type":"paragraph","content":'
        f'[{{"type":"text","text":"{text}"}}]}}]}}'
    )
    return {"storage": f"<p>{text}</p>", "atlas_doc_format": adf}


def _space(n: int, people: list[str]) -> Record:
    key = f"S{n}"
    return {
        "id": str(_SPACE + n),
        "key": key,
        "name": f"Space {n}",
        "type": "global",
        "status": "current",
        "authorId": people[n % len(people)],
        "spaceOwnerId": people[n % len(people)],
        "currentActiveAlias": key,
        "createdAt": "2021-01-04T08:00:00.000Z",
        "homepageId": None,
        "_description": f"Generated space {n}",
        "_icon": None,
        "_links": {"webui": f"/spaces/{key}"},
    }


def _pages(  # noqa: PLR0913, PLR0917 - the numbers of `generate`
    count: int,
    spaces: int,
    people: list[str],
    body: dict[str, str],
    labels: list[list[str]],
    versions: int,
    skew: float,
) -> list[Record]:
    times = _times(count)
    space_ids = [str(_SPACE + n) for n in range(max(1, spaces))]
    crowded = int(count * skew)
    made = []
    for n in range(count):
        # The stride is coprime to most counts: the order of edits differs from the order of ids.
        edited = times[max(n, (n * 7919) % count)]
        author = people[n % len(people)]
        record: Record = {
            "id": str(_PAGE + n),
            "status": "archived" if n % 50 == 49 else "current",
            "title": f"Page {n}",
            "spaceId": space_ids[0] if n < crowded else space_ids[n % len(space_ids)],
            "parentId": None if n < 10 * spaces else str(_PAGE + n % (10 * spaces)),
            "parentType": None if n < 10 * spaces else "page",
            "position": n,
            "authorId": author,
            "ownerId": author,
            "lastOwnerId": None,
            "subtype": None,
            "createdAt": times[n],
            "version": {
                "number": max(1, versions) if edited is times[n] else max(2, versions),
                "message": "",
                "minorEdit": False,
                "authorId": author,
                "createdAt": edited if len(edited) == 24 else edited[:19] + ".000Z",
            },
            "_body": body,
        }
        if labels:
            record["_labels"] = labels[n % len(labels)]
        made.append(record)
    return made


def _blog_posts(count: int, spaces: int, people: list[str], body: dict[str, str]) -> list[Record]:
    times = _times(count)
    made = []
    for n in range(count):
        author, at = people[n % len(people)], times[n]
        version = {
            "number": 1,
            "message": "",
            "minorEdit": False,
            "authorId": author,
            "createdAt": at if len(at) == 24 else at[:19] + ".000Z",
        }
        made.append(
            {
                "id": str(_POST + n),
                "status": "current",
                "title": f"Post {n}",
                "spaceId": str(_SPACE + n % max(1, spaces)),
                "authorId": author,
                "createdAt": at,
                "version": version,
                "_body": body,
            }
        )
    return made


def _tree_item(n: int, spaces: int, people: list[str]) -> Record:
    author, at = people[n % len(people)], format_time(_BEGIN + timedelta(minutes=n))
    version = {"number": 1, "message": "", "minorEdit": False, "authorId": author, "createdAt": at}
    return {
        "id": str(_TREE_ITEM + n),
        "type": ("folder", "whiteboard", "database", "embed")[n % 4],
        "status": "current",
        "title": f"Item {n}",
        "spaceId": str(_SPACE + n % max(1, spaces)),
        "parentId": None,
        "parentType": None,
        "position": n,
        "authorId": author,
        "ownerId": author,
        "createdAt": at,
        "version": version,
    }


def _restrictions(site: Site, every: int, people: list[str]) -> list[Record]:
    """Restrict updates of each chosen content, and reading of every second one, to one to three users and a group."""
    content = [r for name in ("pages", "blog_posts", "tree_items") for r in site.records(name)]
    groups = [group["id"] for group in site.records("groups")]
    return [
        {
            "operation": operation,
            "_contentId": record["id"],
            "_users": people[n % len(people) :][: 1 + n % 3],
            "_groups": groups[n % len(groups) :][:1] if groups else [],
        }
        for n, record in enumerate(content[::every])
        for operation in (("read", "update") if n % 2 else ("update",))
    ]


def _group(n: int) -> Record:
    return {
        "type": "group",
        "name": f"group-{n}",
        "id": f"{n:08x}-1111-4000-8000-000000000000",
        "usageType": "USERBASE_GROUP",
        "managedBy": "ADMINS",
        "_accessType": "user",
        "_links": {},
    }


def _user(n: int, groups: int) -> Record:
    return {
        "type": "known",
        "accountId": _account(n),
        "accountType": "atlassian",
        "email": f"person{n}@example.com",
        "publicName": f"Person {n}",
        "displayName": f"Person {n}",
        "isExternalCollaborator": False,
        "_permissionTypes": ["all", "none"],
        "_groups": [_group(n % groups)["id"]] if groups else [],
        "_expandable": {"operations": "", "personalSpace": ""},
        "_links": {},
    }


def _event(n: int, count: int, people: list[str]) -> Record:
    begin, end = int(_BEGIN.timestamp() * 1000), int(_END.timestamp() * 1000)
    # Every fifth has the same millisecond as the previous one.
    timestamp = begin + (n - (n % 5 == 4)) * (end - begin) // max(1, count)
    return {
        "author": {
            "type": "user",
            "displayName": f"Person {n % len(people)}",
            "operations": None,
            "isExternalCollaborator": False,
            "accountId": people[n % len(people)],
            "accountType": "",
            "publicName": f"Person {n % len(people)}",
            "externalCollaborator": False,
        },
        "remoteAddress": "203.0.113.7",
        "creationDate": timestamp,
        "summary": "Page moved",
        "description": "",
        "category": "Content management",
        "sysAdmin": False,
        "superAdmin": False,
        "affectedObject": {"name": f"Page {n}", "objectType": "Page"},
        "changedValues": [],
        "associatedObjects": [],
        "_key": n,
    }


def _label(n: int) -> Record:
    return {
        "id": str(_LABEL + n),
        "name": f"label-{n}",
        "prefix": "global",
        "_createdAt": "2021-01-04T08:00:00.000Z",
    }


def _comment(n: int, pages: int, people: list[str]) -> Record:
    page_id = str(_PAGE + n % max(1, pages))
    comment_id = str(_COMMENT + n)
    return {
        "id": comment_id,
        "status": "current",
        "title": f"Re: Page {n % max(1, pages)}",
        "pageId": page_id,
        "version": {
            "number": 1,
            "message": "",
            "minorEdit": False,
            "authorId": people[n % len(people)],
            "createdAt": format_time(_BEGIN + timedelta(minutes=n)),
        },
        "_createdAt": format_time(_BEGIN + timedelta(minutes=n)),
        "_body": {"storage": "<p>Agreed.</p>", "atlas_doc_format": '{"type":"doc"}'},
        "_links": {"webui": f"/pages/viewpage.action?pageId={page_id}&focusedCommentId={comment_id}"},
    }


def _attachment(n: int, size: int, people: list[str]) -> Record:
    title, at = f"file-{n}.bin", format_time(_BEGIN + timedelta(minutes=n))
    links = {"webui": f"/pages/viewpageattachments.action?pageId={_PAGE}", "download": f"/download/{title}"}
    return {
        "id": f"att{_FILE + n}",
        "status": "current",
        "title": title,
        "createdAt": at,
        "pageId": str(_PAGE),
        "mediaType": "application/octet-stream",
        "mediaTypeDescription": "Binary",
        "comment": "",
        "fileId": f"{n:08x}-2222-4000-8000-000000000000",
        "fileSize": size,
        "webuiLink": links["webui"],
        "downloadLink": links["download"],
        "version": {
            "number": 1,
            "message": "",
            "minorEdit": False,
            "authorId": people[n % len(people)],
            "createdAt": at,
        },
        "_holder": str(_PAGE),
        "_links": links,
    }


def _versions(site: Site, count: int, body: dict[str, str]) -> list[Record]:
    return [
        {
            **page["version"],
            "number": number,
            "createdAt": page["createdAt"] if number < count else page["version"]["createdAt"],
            "page": {"id": page["id"], "title": page["title"]},
            "_pageId": page["id"],
            "_body": body,
        }
        for page in site.records("pages")
        for number in range(1, page["version"]["number"] + 1)
    ]
