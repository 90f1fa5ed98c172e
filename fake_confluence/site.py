"""The data of a site: collections of records, indexes, and methods that change them."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Record: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, Any]

# Only orderings of more records than this are cached; a page's few children are sorted each time.
_WORTH_KEEPING = 500
_KEPT_ORDERINGS = 200


@dataclass(frozen=True)
class Condition:
    """A condition for records.

    Attributes:
        field: Dotted name of the item field.
        values: For "equal", the allowed values (as text); otherwise one bound or word.
        compare: "equal", "from", "to" or "contains".
        chosen: Whether the request gave the values, so that few records match.
    """

    field: str
    values: tuple[Any, ...]
    compare: str = "equal"
    chosen: bool = True


class Ordering:
    """Sorted records, with the keys to find a position in them."""

    def __init__(self, records: Iterable[Record], field: str) -> None:
        """Sort records by a field, then by id."""
        places = [(sort_key(record, field), n, record) for n, record in enumerate(records)]
        places.sort(key=lambda place: place[:2])
        self.keys = [place[0] for place in places]
        self.records = [place[2] for place in places]

    def page(self, size: int, *, after: Key | None, descending: bool) -> tuple[list[Record], bool]:
        """Return the records after a key, and whether more follow."""
        if descending:
            end = len(self.keys) if after is None else bisect_left(self.keys, after)
            start = max(0, end - size)
            return self.records[start:end][::-1], start > 0
        start = 0 if after is None else bisect_right(self.keys, after)
        return self.records[start : start + size], start + size < len(self.records)


class Site:
    """The records of a Confluence site, and the methods that change them.

    Fields whose names begin with an underscore are private to the server (`_body`, `_labels`), except
    `_links` and `_expandable`. After changing a record directly, call `changed` with the name of
    its collection; the methods below do that themselves.
    """

    def __init__(
        self,
        collections: dict[str, list[Record]],
        *,
        now: str = "2026-06-30T12:00:00.000Z",
        cloud_id: str = "3f6f2c1e-5d0b-4c55-9a3e-7c1f0a2b9d41",
    ) -> None:
        """Create a site with these records.

        Args:
            collections: Records by collection, as contract.yaml names them.
            now: The current time of this site; edits without a timestamp take the next second.
            cloud_id: The cloud id at the gateway.
        """
        self.collections = collections
        self.now = now
        self.cloud_id = cloud_id
        self.lock = threading.RLock()
        self._indexes: dict[tuple[str, str], dict[str, list[Record]]] = {}
        self._orderings: OrderedDict[Any, Ordering] = OrderedDict()
        self._next_id = 0

    # Reading

    def records(self, collection: str) -> list[Record]:
        """Return the records of a collection; none if the site has no such collection."""
        return self.collections.get(collection, [])

    def find(self, collection: str, field: str, value: Any) -> list[Record]:
        """Return the records whose field equals the value, or contains it if the field is a list."""
        return self._index(collection, field).get(str(value), [])

    def get(self, collection: str, record_id: Any) -> Record:
        """Return the record with the id.

        Raises:
            KeyError: There is no such record.
        """
        found = self.find(collection, "id", record_id)
        if not found:
            raise KeyError(f"no {collection} with id {record_id}")
        return found[0]

    def select(self, collections: Sequence[str], conditions: Sequence[Condition]) -> list[Record]:
        """Return the records that match all conditions, in their original order."""
        return [r for name in collections for r in self._select(name, conditions)]

    def ordering(self, collection: str, conditions: Sequence[Condition], field: str) -> Ordering:
        """Return the records that match all conditions, sorted by a field and then by id."""
        key = (collection, tuple(conditions), field)
        kept = self._orderings.get(key)
        if kept is not None:
            self._orderings.move_to_end(key)
            return kept
        made = Ordering(self._select(collection, conditions), field)
        if len(made.keys) > _WORTH_KEEPING:
            self._orderings[key] = made
            if len(self._orderings) > _KEPT_ORDERINGS:
                self._orderings.popitem(last=False)
        return made

    def _select(self, collection: str, conditions: Sequence[Condition]) -> list[Record]:
        for known in conditions:
            if known.chosen and known.compare == "equal":
                index = self._index(collection, known.field)
                # A record can match two of the values; it is still one record.
                found = {id(r): r for value in known.values for r in index.get(str(value), [])}
                rest = [condition for condition in conditions if condition is not known]
                return [r for r in found.values() if all(fulfils(r, c) for c in rest)]
        records = self.records(collection)
        return [r for r in records if all(fulfils(r, c) for c in conditions)]

    def _index(self, collection: str, field: str) -> dict[str, list[Record]]:
        kept = self._indexes.get((collection, field))
        if kept is not None:
            return kept
        index: dict[str, list[Record]] = {}
        for record in self.records(collection):
            value = field_of(record, field)
            for each in value if isinstance(value, list) else (value,):
                index.setdefault(str(each), []).append(record)
        self._indexes[collection, field] = index
        return index

    # Changing

    def changed(self, *collections: str) -> None:
        """Invalidate the indexes and orderings of changed collections."""
        self._forget(lambda key: key[0] in collections)

    def _altered(self, collection: str) -> None:
        """Invalidate the indexes and orderings, except the index by id: ids do not change."""
        self._forget(lambda key: key[0] == collection and key[1] != "id")

    def _forget(self, stale: Callable[[Any], bool]) -> None:
        for kept in (self._indexes, self._orderings):
            for key in [key for key in kept if stale(key)]:
                del kept[key]

    def tick(self, seconds: float = 1.0) -> str:
        """Advance the clock of the site, and return the new time."""
        moved = parse_time(self.now) + timedelta(seconds=seconds)
        self.now = format_time(moved)
        return self.now

    def new_id(self) -> str:
        """Return an id that no record has."""
        if not self._next_id:
            ids = (str(r.get("id")) for records in self.collections.values() for r in records)
            self._next_id = max((int(i) for i in ids if i.isdigit()), default=0)
        self._next_id += 1
        return str(self._next_id)

    def add(self, collection: str, record: Record) -> Record:
        """Add a record unchanged."""
        with self.lock:
            self.collections.setdefault(collection, []).append(record)
            self._altered(collection)
            by_id = self._indexes.get((collection, "id"))
            if by_id is not None:
                by_id.setdefault(str(record.get("id")), []).append(record)
        return record

    def remove(self, collection: str, record_id: Any) -> None:
        """Remove the record with the id."""
        with self.lock:
            gone = self.get(collection, record_id)
            records = self.collections[collection]
            del records[next(n for n, record in enumerate(records) if record is gone)]
            self._altered(collection)
            del self._indexes[collection, "id"][str(record_id)]

    def edit(self, collection: str, record_id: Any, at: str | None = None, **fields: Any) -> Record:
        """Save a new version of a record, with changed fields.

        Args:
            collection: The collection of the record.
            record_id: Its id.
            **fields: The changed fields.
            at: The timestamp, as Confluence writes it; by default the next second of the site.
        """
        with self.lock:
            record = self.get(collection, record_id)
            record.update(fields)
            version = record["version"]
            record["version"] = {
                **version,
                "number": version["number"] + 1,
                "createdAt": at or self.tick(),
            }
            self._keep_version(collection, record)
            self._altered(collection)
        return record

    def set_status(self, collection: str, record_id: Any, status: str) -> Record:
        """Trash, archive, delete or restore a record; its version does not change."""
        with self.lock:
            record = self.get(collection, record_id)
            record["status"] = status
            if status in ("trashed", "deleted"):
                record.update({k: None for k in _PLACE if k in record})
            self._altered(collection)
        return record

    def add_space(self, name: str, *, key: str, at: str | None = None, **fields: Any) -> Record:
        """Add a space; by default it is global and current."""
        return self.add(
            "spaces",
            {
                "id": self.new_id(),
                "key": key,
                "name": name,
                "type": "global",
                "status": "current",
                "authorId": self._somebody(),
                "spaceOwnerId": self._somebody(),
                "currentActiveAlias": key,
                "createdAt": at or self.tick(),
                "homepageId": None,
                "_description": name,
                "_links": {"webui": f"/spaces/{key}"},
                **fields,
            },
        )

    def add_page(self, title: str, *, space_id: str, at: str | None = None, **fields: Any) -> Record:
        """Add a page; by default it is at the root of the space."""
        blank = {"parentId": None, "parentType": None, "position": None, "subtype": None}
        owners = {"ownerId": self._somebody(), "lastOwnerId": None}
        return self._add_content("pages", title, space_id, at, {**blank, **owners, **fields})

    def add_blog_post(self, title: str, *, space_id: str, at: str | None = None, **fields: Any) -> Record:
        """Add a blog post."""
        return self._add_content("blog_posts", title, space_id, at, fields)

    def edit_page(self, page_id: Any, at: str | None = None, **fields: Any) -> Record:
        """Save a new version of a page."""
        return self.edit("pages", page_id, at, **fields)

    def edit_blog_post(self, post_id: Any, at: str | None = None, **fields: Any) -> Record:
        """Save a new version of a blog post."""
        return self.edit("blog_posts", post_id, at, **fields)

    def archive_page(self, page_id: Any) -> Record:
        """Archive a page."""
        return self.set_status("pages", page_id, "archived")

    def trash_page(self, page_id: Any) -> Record:
        """Move a page to the trash."""
        return self.set_status("pages", page_id, "trashed")

    def trash_blog_post(self, post_id: Any) -> Record:
        """Move a blog post to the trash."""
        return self.set_status("blog_posts", post_id, "trashed")

    def restore_page(self, page_id: Any) -> Record:
        """Restore a page from the archive or the trash."""
        return self.set_status("pages", page_id, "current")

    def purge_page(self, page_id: Any) -> None:
        """Delete a page permanently."""
        self.remove("pages", page_id)

    def purge_blog_post(self, post_id: Any) -> None:
        """Delete a blog post permanently."""
        self.remove("blog_posts", post_id)

    def _add_content(
        self, collection: str, title: str, space_id: str, at: str | None, fields: Record
    ) -> Record:
        with self.lock:
            created = at or self.tick()
            version = {"number": 1, "createdAt": created, "message": "", "minorEdit": False}
            record = {
                "id": self.new_id(),
                "status": "current",
                "title": title,
                "spaceId": str(space_id),
                "authorId": self._somebody(),
                "createdAt": created,
                "version": {**version, "authorId": self._somebody()},
                "_body": {"storage": f"<p>{title}</p>", "atlas_doc_format": _EMPTY},
                "_labels": [],
                **fields,
            }
            self.add(collection, record)
            self._keep_version(collection, record)
        return record

    def _somebody(self) -> str:
        return next((user["accountId"] for user in self.records("users")), "712020:nobody")

    def _keep_version(self, collection: str, record: Record) -> None:
        kept = _VERSIONED.get(collection)
        if kept is None or kept[0] not in self.collections:
            return
        versions, parent, name = kept
        entity = {"id": record["id"], "title": record.get("title")}
        version = {k: v for k, v in record["version"].items() if k not in UNLISTED}
        history = {**version, name: entity, parent: record["id"]}
        if "_body" in record:
            history["_body"] = record["_body"]
        self.collections[versions].append(history)
        self.changed(versions)


# The version of a content has these fields; the items of a list of versions do not.
UNLISTED = ("ncsStepVersion", "contributorIds")
_EMPTY = '{"type":"doc","version":1,"content":[]}'
_PLACE = ("parentId", "parentType", "position")
_VERSIONED = {
    "pages": ("page_versions", "_pageId", "page"),
    "blog_posts": ("blog_post_versions", "_blogPostId", "blogpost"),
    "attachments": ("attachment_versions", "_attachmentId", "attachment"),
    "custom_content": ("custom_content_versions", "_customContentId", "custom"),
    "footer_comments": ("footer_comment_versions", "_commentId", "comment"),
    "inline_comments": ("inline_comment_versions", "_commentId", "comment"),
}


def public_part(site: Site, keys: Iterable[str]) -> Site:
    """Return what anonymous visitors can see: these spaces and what is in them."""
    wanted = frozenset(keys)
    seen = {space["id"] for space in site.records("spaces") if space["key"] in wanted}
    kept: dict[str, list[Record]] = {
        "spaces": [space for space in site.records("spaces") if space["id"] in seen]
    }
    for _ in range(3):  # pages, their comments, and the replies to these
        for name, records in site.collections.items():
            if name != "spaces":
                kept[name] = [
                    record for record in records if seen & {str(record.get(field)) for field in _INSIDE}
                ]
                seen |= {str(record["id"]) for record in kept[name] if record.get("id")}
    kept["classification_levels"] = site.records("classification_levels")
    return Site(kept, now=site.now, cloud_id=site.cloud_id)


_INSIDE = (
    *(
        "spaceId",
        "_spaceId",
        "pageId",
        "_pageId",
        "blogPostId",
        "_blogPostId",
        "customContentId",
        "attachmentId",
    ),
    *("_attachmentId", "_commentId", "parentCommentId", "_contentId", "_treeItemId"),
)


def field_of(record: Record, field: str) -> Any:
    """Return the value of a dotted field name; None if there is none."""
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def fulfils(record: Record, condition: Condition) -> bool:
    """Return whether a record matches a condition."""
    value, wanted = field_of(record, condition.field), condition.values
    if condition.compare == "equal":
        if isinstance(value, list):
            return any(str(each) in wanted for each in value)
        return str(value) in wanted
    if value is None:
        return False
    if condition.compare == "contains":
        return str(wanted[0]).lower() in str(value).lower()
    timestamp = value if isinstance(value, int) else milliseconds(value)
    return bool(timestamp >= wanted[0] if condition.compare == "from" else timestamp <= wanted[0])


def sort_key(record: Record, field: str) -> Key:
    """Return the sort key of a record: the field, then its id."""
    own = record.get("id") or record.get("accountId") or record.get("_key")
    own = own if own is not None else record.get("number", 0)
    own = int(own) if isinstance(own, str) and own.isdigit() else own
    if field == "id":
        return own, own
    value = field_of(record, field)
    if isinstance(value, str) and len(value) == 20 and value[10] == "T" and value[19] == "Z":
        # As text, a second without milliseconds would sort after all its milliseconds.
        value = value[:19] + ".000Z"
    return ("" if value is None else value), own


def parse_time(text: str) -> datetime:
    """Parse a timestamp as Confluence writes it, with or without milliseconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def format_time(timestamp: datetime) -> str:
    """Format a timestamp as Confluence does, with milliseconds."""
    text = timestamp.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def milliseconds(text: str) -> int:
    """Return a timestamp as milliseconds since 1970."""
    return round(parse_time(text).timestamp() * 1000)
