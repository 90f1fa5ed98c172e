"""Shared helpers of all parts of the company: ids, timestamps, people and bodies."""

from __future__ import annotations

import json
import random
import zlib
from datetime import timedelta
from html import escape
from typing import Any

from fake_confluence.site import UNLISTED, Record, format_time, parse_time

BEGIN = "2021-03-01T08:00:00.000Z"
END = "2026-06-26T16:00:00.000Z"


class Making:
    """The collections of the company while they are made, with the generators of ids and random numbers."""

    def __init__(self, text: dict[str, Any], *, small: bool) -> None:
        """Start a company with the texts of company.yaml."""
        self.text, self.small = text, small
        self.collections: dict[str, list[Record]] = {}
        self.begin("people")
        self.people = [self._account() for _ in text["people"]]

    def begin(self, part: str) -> None:
        """Start a part; its ids and random numbers do not depend on the other parts."""
        self.random = random.Random(part)
        self._last_id = 65_536 + zlib.crc32(part.encode()) % 10_000 * 100_000

    def _account(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "712020:" + "-".join(parts)

    def uuid(self) -> str:
        """Return a new UUID."""
        return self._account().partition(":")[2]

    def id(self) -> str:
        """Return a new numeric id, larger than all earlier ones of this part."""
        self._last_id += self.random.randint(1, 90)
        return str(self._last_id)

    def put(self, collection: str, *records: Record) -> None:
        """Add records to a collection."""
        self.collections.setdefault(collection, []).extend(records)

    def records(self, collection: str) -> list[Record]:
        """Return the current records of a collection."""
        return self.collections.get(collection, [])

    def person(self) -> str:
        """Return the account id of a random person, not of an app."""
        return self.random.choice(self.people[:-1])

    def between(self, begin: str, end: str = END) -> str:
        """Return a random timestamp between two timestamps, with milliseconds."""
        first, last = parse_time(begin), parse_time(end)
        day = first + self.random.random() * max(timedelta(0), last - first)
        return format_time(min(max(day, first), last))

    def version(self, number: int, at: str, author: str, message: str = "") -> Record:
        """Return a version in the form of the `version` field of content."""
        return {
            "number": number,
            "message": message,
            "minorEdit": number > 1 and self.random.random() < 0.2,
            "authorId": author,
            "createdAt": at,
            "ncsStepVersion": str(self.random.randint(1, 60)) if number > 1 else "1",
            "contributorIds": [author],
        }

    def history(self, collection: str, entity: str, parent: str, record: Record, edits: int) -> None:
        """Add all versions of a record to a collection; the last one becomes its `version`.

        Args:
            collection: The collection of the versions.
            record: The record that has the versions.
            entity: The field of a version that contains the record's id and title.
            parent: The private field with the id of the record.
            edits: The number of versions after the first.
        """
        created = record.get("createdAt") or record["_createdAt"]
        times = [exact(created), *sorted(self.between(created) for _ in range(edits))]
        for number, at in enumerate(times, start=1):
            author = record.get("authorId") if number == 1 else None
            author = author or self.person()
            message = self.random.choice(_MESSAGES) if number > 1 else ""
            version = self.version(number, at, author, message)
            kept = {
                **{name: value for name, value in version.items() if name not in UNLISTED},
                entity: {"id": record["id"], "title": record.get("title")},
                parent: record["id"],
            }
            if "_body" in record:
                kept["_body"] = record["_body"]
            self.put(collection, kept)
            record["version"] = version


_MESSAGES = ("", "", "Typo", "Numbers from the last test", "Shorter", "After the review")


def exact(at: str) -> str:
    """Return a timestamp with milliseconds."""
    return format_time(parse_time(at))


def loosely(making: Making, at: str) -> str:
    """Return a timestamp without milliseconds in one of three cases."""
    return at[:19] + "Z" if making.random.random() < 1 / 3 else at


def later(at: str, **span: float) -> str:
    """Return a later timestamp; the arguments are those of timedelta."""
    return format_time(parse_time(at) + timedelta(**span))


def body(paragraphs: list[str], heading: str = "") -> dict[str, str]:
    """Return a text as a body in the storage format and in the Atlassian document format."""
    storage = f"<h2>{escape(heading, quote=False)}</h2>" if heading else ""
    storage += "".join(f"<p>{escape(text, quote=False)}</p>" for text in paragraphs)
    nodes: list[Record] = []
    if heading:
        nodes.append({"type": "heading", "attrs": {"level": 2}, "content": _text(heading)})
    nodes += [{"type": "paragraph", "content": _text(text)} for text in paragraphs]
    document = {"type": "doc", "version": 1, "content": nodes}
    return {"storage": storage, "atlas_doc_format": json.dumps(document, separators=(",", ":"))}


def _text(text: str) -> list[Record]:
    return [{"type": "text", "text": text}]
