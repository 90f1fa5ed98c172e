"""Spaces, pages, posts, other items of the page tree, attachments, labels and templates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from fake_confluence.making import BEGIN, Making, body, later, loosely

if TYPE_CHECKING:
    from fake_confluence.site import Record

# The status of pages that are not current, by (space, index in its list).
_STATUSES = {
    ("ENG", 14): "archived",
    ("HW", 12): "archived",
    ("OPS", 12): "archived",
    ("SALES", 10): "archived",
    ("PROD", 13): "trashed",
    ("HELP", 12): "trashed",
    ("BUOY4", 11): "trashed",
    ("PEOPLE", 9): "deleted",
    ("SALES", 9): "deleted",
    ("MGAUGE", 1): "archived",
    ("MGAUGE", 3): "archived",
    ("LAB", 2): "archived",
}
_POST_STATUSES = {18: "trashed", 19: "trashed", 20: "deleted"}
CUSTOM_TYPES = ("ac:com.norrvik.survey:answer", "ac:com.norrvik.risks:risk")


def add_spaces(making: Making) -> None:
    """Add the spaces; `add_pages` adds their homepages."""
    for n, texts in enumerate(making.text["spaces"]):
        key, owner = texts["key"], making.people[n % 12]
        icon = f"/download/attachments/{n + 1}/{key.strip('~').lower()}.png"
        record = {
            "id": making.id(),
            "key": key,
            "name": texts["name"],
            "type": texts["type"],
            "status": texts.get("status", "current"),
            "authorId": owner,
            "spaceOwnerId": owner,
            "currentActiveAlias": key,
            "createdAt": loosely(making, later(BEGIN, days=31 * n, minutes=7 * n)),
            "homepageId": None,
            "_description": texts["about"],
            "_icon": {"path": icon, "apiDownloadLink": f"/wiki{icon}"} if n % 4 else None,
            "_labelNames": [],
            "_links": {"webui": f"/spaces/{key}"},
        }
        making.put("spaces", record)


def add_labels(making: Making) -> None:
    """Add the labels; `settle_labels` adds their spaces."""
    for prefix, name in making.text["labels"]:
        record = {"id": making.id(), "name": name, "prefix": prefix}
        making.put("labels", {**record, "_createdAt": making.between(BEGIN, "2022-06-01T00:00:00Z")})


def add_pages(making: Making) -> None:
    """Add the pages of each space: a homepage, and a tree of three levels under it."""
    spaces = zip(making.records("spaces"), making.text["spaces"], strict=True)
    for kept, (space, texts) in enumerate(spaces):
        home = _page(making, space, None, 0, [f"{texts['name']} Home", texts["about"]])
        space["homepageId"] = home["id"]
        making.put("pages", home)
        above = [home]
        for n, title in enumerate(texts["pages"]):
            if making.small and n != (kept + 2) % 8 and (texts["key"], n) not in _STATUSES:
                continue
            says = [texts["says"][(n + k) % len(texts["says"])] for k in range(2 + n % 3)]
            parent = home if len(above) < 6 else above[1 + n % 4]
            page = _page(making, space, parent, n + 1, [title, *says])
            page["status"] = _STATUSES.get((texts["key"], n), "current")
            if page["status"] in ("trashed", "deleted"):
                page.update(parentId=None, parentType=None, position=None)
            making.put("pages", page)
            above.append(page)


def _page(making: Making, space: Record, parent: Record | None, n: int, says: list[str]) -> Record:
    """Make a page; the first text is its title."""
    title, *says = says
    begin = parent["createdAt"] if parent else space["createdAt"]
    end = "2022-12-01T00:00:00Z" if parent is None else "2026-05-01T00:00:00Z"
    if space["status"] == "archived":
        end = "2023-02-01T00:00:00Z"
    author = making.person()
    record: Record = {
        "id": making.id(),
        "status": "current",
        "title": title,
        "spaceId": space["id"],
        "parentId": parent["id"] if parent else None,
        "parentType": "page" if parent else None,
        "position": making.random.randint(1, 5000) if n % 6 else None,
        "authorId": author,
        "ownerId": making.person() if n % 5 == 4 else author,
        "lastOwnerId": author if n % 5 == 4 else None,
        "subtype": "live" if n % 9 == 8 else None,
        "createdAt": loosely(making, making.between(begin, max(begin, end))),
        "_body": making.text["written"].get(title) or body(says, title if n else ""),
        "_labels": _some_labels(making, 0.5),
        "_views": making.random.randint(0, 900),
        "_favorite": n % 7 == 1,
    }
    if title.startswith("Meeting notes"):
        record["sourceTemplateEntityId"] = "65601"
    record["_viewers"] = min(len(making.people), record["_views"] // 4)
    edits = making.random.choice((0, 0, 1, 2, 3, 5))
    making.history("page_versions", "page", "_pageId", record, edits)
    return record


def _some_labels(making: Making, chance: float) -> list[str]:
    """Return up to three labels for content, or none."""
    if making.random.random() > chance:
        return []
    labels = [label for label in making.records("labels") if label["prefix"] != "team"]
    return [label["id"] for label in making.random.sample(labels, making.random.randint(1, 3))]


def add_blog_posts(making: Making) -> None:
    """Add the posts, one every three months."""
    spaces = {space["key"]: space for space in making.records("spaces")}
    says = itertools.cycle(_POST_TEXTS)
    for n, (key, title) in enumerate(making.text["posts"]):
        record: Record = {
            "id": making.id(),
            "status": _POST_STATUSES.get(n, "current"),
            "title": title,
            "spaceId": spaces[key]["id"],
            "authorId": making.person(),
            "createdAt": loosely(making, later(BEGIN, days=370 + 73 * n, minutes=31 * n)),
            "_body": body([f"{title}.", next(says), next(says)]),
            "_labels": _some_labels(making, 0.6),
            "_views": making.random.randint(20, 400),
            "_viewers": making.random.randint(5, 39),
            "_favorite": n % 4 == 1,
        }
        making.history("blog_post_versions", "blogpost", "_blogPostId", record, n % 3)
        making.put("blog_posts", record)


_POST_TEXTS = (
    "Thank you to all who stood on a cold quay for it.",
    "The numbers are on the page of the project, and the questions too.",
    "We will tell how it went at the Friday meeting.",
    "It took longer than we thought, and it is better than we hoped.",
    "If you see something odd, write below this post.",
)


def add_tree_items(making: Making) -> None:
    """Add folders, whiteboards, databases and embeds, and move some pages into the folders."""
    spaces = {space["key"]: space for space in making.records("spaces")}
    for n, (kind, key, title) in enumerate(making.text["tree"]):
        space, author = spaces[key], making.person()
        created = later(space["createdAt"], days=40 + n, hours=n)
        webui = f"/spaces/{key}/{kind}/"
        record: Record = {
            "id": making.id(),
            "type": kind,
            "status": "current",
            "title": title,
            "parentId": space["homepageId"] if n % 5 else None,
            "parentType": "page" if n % 5 else None,
            "position": 100 + n if n % 4 else None,
            "authorId": author,
            "ownerId": author,
            "createdAt": loosely(making, created),
            "spaceId": space["id"],
            "version": making.version(1 + n % 2, later(created, days=n), author),
        }
        record["_links"] = {"webui": webui + record["id"]}
        if kind == "whiteboard":
            record["_links"]["editui"] = webui + "edit/" + record["id"]
        if kind == "embed":
            record["embedUrl"] = f"https://boards.example.com/{record['id']}"
        if n % 7 == 0:
            record["_content"] = _expanded(making, record, space)
        making.put("tree_items", record)
        if kind == "folder":
            inside = [p for p in making.records("pages") if p["spaceId"] == space["id"]]
            inside = [page for page in inside if page["id"] != space["homepageId"]][-3:]
            for page in inside:
                if page["parentId"]:
                    page.update(parentId=record["id"], parentType="folder")


def _expanded(making: Making, record: Record, space: Record) -> Record:
    """Return the fields that a search adds to a content if the request expands all."""
    author = next(u for u in making.records("users") if u["accountId"] == record["authorId"])
    user = {"type": "known", "accountId": author["accountId"], "_links": {}}
    user |= {"displayName": author["displayName"], "publicName": author["publicName"]}
    version = {
        "by": user,
        "when": record["version"]["createdAt"],
        "friendlyWhen": record["version"]["createdAt"][:10],
        "message": "",
        "number": record["version"]["number"],
        "minorEdit": False,
        "contentTypeModified": False,
        "confRev": f"confluence$content${record['id']}.2",
        "syncRev": "0",
        "syncRevSource": "synchrony-ack",
    }
    read = {"operation": "read", "_expandable": {"restrictions": "", "content": ""}, "_links": {}}
    return {
        "space": {
            "id": int(space["id"]),
            "key": space["key"],
            "alias": space["key"],
            "name": space["name"],
            "type": space["type"],
            "status": space["status"],
            "_expandable": {"homepage": f"/rest/api/content/{space['homepageId']}"},
            "_links": {"webui": f"/spaces/{space['key']}"},
        },
        "history": {"latest": True, "createdBy": user, "createdDate": record["createdAt"]},
        "version": version,
        "ancestors": [],
        "operations": [{"operation": "read", "targetType": record["type"]}],
        "children": {"_expandable": {"page": f"/rest/api/content/{record['id']}/child/page"}},
        "childTypes": {"page": {"value": True, "_links": {}}, "_expandable": {"all": ""}},
        "descendants": {"_expandable": {"page": ""}},
        "container": {"id": space["id"], "key": space["key"]},
        "body": {"_expandable": {"storage": "", "view": ""}},
        "restrictions": {"read": read, "_expandable": {"update": ""}, "_links": {}},
        "metadata": {"labels": {"results": [], "start": 0, "limit": 200, "size": 0}},
        "macroRenderedOutput": {},
    }


def add_custom_content(making: Making) -> None:
    """Add the content of two apps: answers to a survey, and risks."""
    pages = [page for page in making.records("pages") if page["status"] == "current"]
    posts = making.records("blog_posts")
    for n in range(14):
        kind = CUSTOM_TYPES[n % 2]
        page, post = pages[9 * n % len(pages)], posts[n]
        title = f"Answer {n // 2 + 1}" if n % 2 == 0 else f"Risk {n // 2 + 1}"
        on_post, above = n % 5 == 3, making.records("custom_content")
        place = post if on_post else page
        holder = {"blogPostId": post["id"]} if on_post else {"pageId": page["id"]}
        if n in (10, 11):
            place = above[n - 10]
            holder = {"customContentId": place["id"]}
        record: Record = {
            "id": making.id(),
            "type": kind,
            "status": "current",
            "title": title,
            "spaceId": place["spaceId"],
            **holder,
            "authorId": making.person(),
            "createdAt": loosely(making, making.between("2023-01-01T00:00:00Z")),
            # A type has one kind of body: the storage format, or the raw format of the app.
            "_body": {"raw": f'{{"risk":{n}}}'}
            if n % 2
            else body([f"{title}: seen, weighed and written down."]),
        }
        record["_links"] = {"webui": f"/display/custom/{record['id']}"}
        making.history("custom_content_versions", "custom", "_customContentId", record, n % 3)
        record["_labels"] = _some_labels(making, 0.6)
        making.put("custom_content", record)


def add_attachments(making: Making) -> None:
    """Add files to pages, posts and custom content."""
    pages = [page for page in making.records("pages") if page["status"] == "current"]
    files = making.text["files"]
    for n in range(31 if making.small else 42):
        name, media, called = files[n % len(files)]
        holder = {"pageId": pages[3 * n % len(pages)]["id"]}
        if n % 9 == 4:
            holder = {"blogPostId": making.records("blog_posts")[n // 9]["id"]}
        if n % 14 == 6:
            holder = {"customContentId": making.records("custom_content")[n // 14]["id"]}
        content = next(iter(holder.values()))
        title = f"{n + 1:02}-{name}"
        record: Record = {
            "id": f"att{making.id()}",
            "status": {11: "archived", 23: "archived", 30: "trashed", 37: "trashed"}.get(n, "current"),
            "title": title,
            "createdAt": loosely(making, making.between("2022-02-01T00:00:00Z", "2026-04-01T00:00:00Z")),
            **holder,
            "mediaType": media,
            "mediaTypeDescription": called,
            "comment": "As sent" if n % 6 == 2 else "",
            "fileId": making.uuid(),
            "fileSize": making.random.randint(2_000, 9_000_000) // 100,  # the tests download all of them
            "webuiLink": f"/pages/viewpageattachments.action?pageId={content}&preview={title}",
            "downloadLink": f"/download/attachments/{content}/{title}?version=1&api=v2",
            "_holder": content,
            "_labels": _some_labels(making, 0.4 if "pageId" in holder else 1.0),
        }
        record["_links"] = {"webui": record["webuiLink"], "download": record["downloadLink"]}
        making.history("attachment_versions", "attachment", "_attachmentId", record, n % 3)
        making.put("attachments", record)


def add_templates(making: Making) -> None:
    """Add templates of the site and of spaces."""
    labels = making.records("labels")
    spaces = {space["key"]: space for space in making.records("spaces")}
    for n, (key, name, about) in enumerate(making.text["templates"]):
        template_id = making.id()
        record: Record = {
            "templateId": template_id,
            "name": name,
            "description": about,
            "labels": [{**_v1_label(labels[6])}] if n % 3 == 0 else [],
            "templateType": "page",
            "editorVersion": "v2",
            "_spaceKey": key,
            "_body": body([about, "Write here."]),
            "_links": {"self": f"/rest/api/template/{template_id}"},
        }
        if n == 0:
            origin = {"pluginKey": "com.norrvik.blueprints", "moduleKey": "meeting-notes"}
            record |= {"originalTemplate": origin, "referencingBlueprint": "meeting-notes"}
        if key:
            space = spaces[key]
            record["space"] = {"id": int(space["id"]), "key": key, "name": space["name"]}
        making.put("content_templates", record)


def add_blueprints(making: Making) -> None:
    """Add the templates of blueprints: every space inherits them, and one has changed one of them."""
    spaces = {space["key"]: space for space in making.records("spaces")}
    for n, (name, about, changed_in) in enumerate(making.text["blueprints"]):
        module = name.lower().replace(" ", "-")
        for key in ("", *changed_in):
            template_id = making.id()
            record: Record = {
                "templateId": template_id,
                "originalTemplate": {"pluginKey": "com.norrvik.blueprints", "moduleKey": module},
                "referencingBlueprint": f"com.norrvik.blueprints:{module}-blueprint",
                "name": name,
                "description": about,
                "labels": [_v1_label(making.records("labels")[n])],
                "templateType": "blueprint",
                "editorVersion": "v2",
                "_offeredIn": [key] if key else ["", *(each for each in spaces if each not in changed_in)],
                "_body": body([about, "Changed here." if key else "Write here."]),
                "_links": {"self": f"/rest/api/template/{template_id}"},
            }
            if key:
                record["_spaceKey"] = key
                record["space"] = {"id": int(spaces[key]["id"]), "key": key, "name": spaces[key]["name"]}
            making.put("blueprint_templates", record)


def _v1_label(label: Record) -> Record:
    known = {name: label[name] for name in ("prefix", "name", "id")}
    return {**known, "label": f"{label['prefix']}:{label['name']}"}


def settle_labels(making: Making) -> None:
    """Add to each label the spaces that have it, and the spaces with content that has it."""
    spaces = making.records("spaces")
    inside: dict[str, set[str]] = {}
    for record in [*making.records("pages"), *making.records("blog_posts")]:
        for label_id in record["_labels"]:
            inside.setdefault(label_id, set()).add(record["spaceId"])
    teams = {
        "engineering-spaces": ("ENG", "HW", "BUOY4"),
        "customer-spaces": ("HELP", "SALES", "PROD"),
        "favourite": ("ENG", "~ines"),
    }
    for label in making.records("labels"):
        keys = teams.get(label["name"], ())
        own = [space for space in spaces if space["key"] in keys]
        label["_spaces"] = [space["id"] for space in own]
        label["_contentSpaces"] = sorted(inside.get(label["id"], ()))
        label["_customContents"] = [
            record["id"] for record in making.records("custom_content") if label["id"] in record["_labels"]
        ]
        for space in own:
            space["_labelNames"].append(label["name"])
