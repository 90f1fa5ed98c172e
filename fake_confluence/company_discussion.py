"""Comments and replies, likes, tasks, and the properties that apps store on content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_confluence.making import END, Making, body, exact, later, loosely

if TYPE_CHECKING:
    from fake_confluence.site import Record

_RESOLUTIONS = ("open", "resolved", "open", "reopened", "dangling")


def add_comments(making: Making) -> None:
    """Add footer and inline comments, with replies and replies to replies."""
    pages = [page for page in making.records("pages") if page["status"] == "current"]
    posts = [post for post in making.records("blog_posts") if post["status"] == "current"]
    for n in range(16 if making.small else 46):
        holder, place = pages[7 * n % len(pages)], "pageId"
        if n % 6 == 5:
            holder, place = posts[n % len(posts)], "blogPostId"
        if n % 15 == 7:
            holder, place = making.records("attachments")[n], "attachmentId"
        if n % 15 == 11:
            holder, place = making.records("custom_content")[n % 10], "customContentId"
        _thread(making, "footer_comments", (holder, place), n)
    for n in range(11 if making.small else 24):
        holder, place = pages[(11 * n + 3) % len(pages)], "pageId"
        if n % 5 == 4:
            holder, place = posts[n % len(posts)], "blogPostId"
        _thread(making, "inline_comments", (holder, place), n)
    _complete_one(making)


def _thread(making: Making, collection: str, on: tuple[Record, str], n: int) -> None:
    texts, replies = making.text["comments"], making.text["replies"]
    at = making.between(max(exact(on[0]["createdAt"]), "2022-06-01T00:00:00.000Z"))
    first = _comment(making, collection, on, texts[n % len(texts)], at)
    _put(making, collection, first, 1 if n % 3 == 0 else 0)
    above = first
    for depth in range(n % 3 if n % 2 == 0 else 0):
        at = making.between(at, min(later(at, days=9), END))
        text = replies[(n + depth) % len(replies)]
        reply = _comment(making, collection, on, text, at)
        reply["parentCommentId"] = above["id"]
        _put(making, collection, reply, 0)
        # In some threads the second reply is below the first reply, in others below the comment.
        above = reply if n % 4 == 0 else first


def _comment(making: Making, collection: str, on: tuple[Record, str], text: str, at: str) -> Record:
    holder, place = on
    comment_id = making.id()
    record: Record = {
        "id": comment_id,
        "status": "current",
        "title": f"Re: {holder['title']}",
        place: holder["id"],
        "resolutionStatus": "open",
        "_createdAt": at,
        "_body": body([text]),
        "_links": {"webui": f"/pages/viewpage.action?focusedCommentId={comment_id}"},
    }
    if collection == "inline_comments":
        n = len(making.records(collection))
        words = holder["_body"]["storage"].rpartition("<p>")[2].split(" ")[1:4]
        marked, marker = " ".join(words), making.uuid()
        record["properties"] = {"inline-marker-ref": marker, "inline-original-selection": marked}
        if n % 8 == 0:
            # Some have the documented spelling.
            record["properties"] |= {"inlineMarkerRef": marker, "inlineOriginalSelection": marked}
        record["resolutionStatus"] = _RESOLUTIONS[n % len(_RESOLUTIONS)]
        if record["resolutionStatus"] != "open":
            record["resolutionLastModifierId"] = making.person()
            record["resolutionLastModifiedAt"] = later(at, hours=30)
    return record


def _put(making: Making, collection: str, record: Record, edits: int) -> None:
    versions = collection.replace("comments", "comment_versions")
    making.history(versions, "comment", "_commentId", record, edits)
    making.put(collection, record)


def _complete_one(making: Making) -> None:
    """Give one comment of each kind every documented field."""
    for collection in ("footer_comments", "inline_comments"):
        record = making.records(collection)[0]
        kept = {"id": making.id(), "key": "seen", "value": True, "version": record["version"]}
        parts: dict[str, list[Record]] = {
            "properties": [kept],
            "operations": [{"operation": "read", "targetType": "comment"}],
            "likes": [{"accountId": making.people[0]}],
            "versions": [record["version"]],
        }
        own = f"/api/v2/{collection.replace('_', '-')}/{record['id']}"
        for name, results in parts.items():
            meta, links = {"hasMore": False, "cursor": ""}, {"self": f"{own}/{name}"}
            record[name] = {**record.get(name, {}), "results": results, "meta": meta, "_links": links}


def add_tasks(making: Making) -> None:
    """Add tasks: one in eleven on a post, one in three done; one in four without assignee, half without a date."""
    pages = [page for page in making.records("pages") if page["status"] == "current"]
    posts = [post for post in making.records("blog_posts") if post["status"] == "current"]
    texts = making.text["tasks"]
    for n in range(44):
        on_post = n % 11 == 10
        holder = posts[n % len(posts)] if on_post else pages[5 * n % len(pages)]
        created = making.between("2023-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
        done = later(created, days=1 + n % 12) if n % 3 == 0 else None
        making.put(
            "tasks",
            {
                "id": making.id(),
                "localId": making.uuid(),
                "spaceId": holder["spaceId"],
                "blogPostId" if on_post else "pageId": holder["id"],
                "status": "complete" if done else "incomplete",
                "createdBy": making.person(),
                "assignedTo": making.person() if n % 4 else None,
                "completedBy": making.person() if done else None,
                "createdAt": loosely(making, created),
                "updatedAt": done or later(created, hours=n % 5),
                "dueAt": later(created[:11] + "00:00:00Z", days=14) if n % 2 else None,
                "completedAt": done,
                "_body": body([texts[n % len(texts)]]) if n % 9 else None,  # null, as Confluence returns some
            },
        )


def add_properties(making: Making) -> None:
    """Add the properties of pages, posts, spaces, attachments and custom content.

    One holder in three has a text, one in twelve also an object and a null; one space in four has a boolean.
    """
    kinds = (
        ("pages", "page_properties", "_pageId"),
        ("blog_posts", "blog_post_properties", "_blogPostId"),
        ("attachments", "attachment_properties", "_attachmentId"),
        ("custom_content", "custom_content_properties", "_customContentId"),
    )
    for collection, name, parent in kinds:
        for n, holder in enumerate(making.records(collection)):
            if n % 3 == 0:
                making.put(name, _property(making, holder, parent, "editor", "v2"))
            if n % 12 == 0:
                value = {"reviewed": n % 24 == 0, "by": _author(holder)}
                making.put(name, _property(making, holder, parent, "review-state", value))
                making.put(name, _property(making, holder, parent, "emoji-title", None))
    for n, space in enumerate(making.records("spaces")):
        created, author = space["createdAt"], space["authorId"]
        version = {"number": 1, "createdAt": exact(created), "message": "", "authorId": author}
        record = {
            "id": making.id(),
            "key": "theme",
            "value": {"colour": ("sea", "sand", "slate")[n % 3]},
            "createdAt": created,
            "authorId": author,
            "version": version,
            "_spaceId": space["id"],
        }
        making.put("space_properties", record)
        if n % 4 == 0:
            more = {**record, "id": making.id(), "key": "survey-open", "value": n % 8 == 0}
            making.put("space_properties", more)


def _property(making: Making, holder: Record, parent: str, key: str, value: object) -> Record:
    at = later(exact(holder["createdAt"]), minutes=3)
    version = making.version(1, at, _author(holder))
    return {"id": making.id(), "key": key, "value": value, "version": version, parent: holder["id"]}


def _author(record: Record) -> str:
    author: str = record.get("authorId") or record["version"]["authorId"]  # attachments have only the second
    return author


def add_likes(making: Making) -> None:
    """Add the likes of pages, posts and comments; every user likes one page."""
    kinds = (
        ("pages", "page_likes", "_pageId"),
        ("blog_posts", "blog_post_likes", "_blogPostId"),
        ("footer_comments", "footer_comment_likes", "_commentId"),
        ("inline_comments", "inline_comment_likes", "_commentId"),
    )
    for collection, name, parent in kinds:
        for n, record in enumerate(making.records(collection)):
            # Most content has few likes or none.
            count = making.random.choice((4,) if making.small and n == 1 else (0, 0, 1, 2, 4))
            if collection == "pages" and n == 1:
                count = len(making.people) - 1
            for account in sorted(making.random.sample(making.people[:-1], count)):
                making.put(name, {"accountId": account, parent: record["id"]})
