"""Invalid records, made by changing a genuine response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SLOT = "what stands here"


def with_fields(**fields: Any) -> Callable[[bytes], bytes]:
    """Change fields of the fourth record of a response; SLOT marks the place for raw JSON."""

    def change(body: bytes) -> bytes:
        response = json.loads(body)
        response["results"][3] |= fields
        return json.dumps(response).encode()

    return change


def with_raw(text: str) -> Callable[[bytes], bytes]:
    """Put this JSON text, unchanged, into the title of the fourth record."""
    change = with_fields(title=SLOT)
    return lambda body: change(body).replace(json.dumps(SLOT).encode(), text.encode())


def without(*names: str) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        response = json.loads(body)
        for name in names or list(set(response["results"][3]) - {"id"}):
            response["results"][3].pop(name)
        return json.dumps(response).encode()

    return change


def instead(record: Any) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        response = json.loads(body)
        response["results"][3] = record
        return json.dumps(response).encode()

    return change


def with_links(links: Any) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps({**json.loads(body), "_links": links}).encode()


def dated(timestamp: Any) -> Callable[[bytes], bytes]:
    return with_fields(version={"number": 1, "createdAt": timestamp}, createdAt=timestamp)


def each_in_a_record_of_its_own(changes: Iterable[Callable[[bytes], bytes]]) -> Callable[[bytes], bytes]:
    """Apply the first change to the record with the lowest id, the second to the next, in whatever order they come."""

    def change(body: bytes) -> bytes:
        response = json.loads(body)
        response["results"].sort(key=lambda record: int(record["id"]))
        body = json.dumps(response).encode()
        for number, one in enumerate(changes):
            body = with_the_fourth(one(with_the_fourth(body, number)), number)
        return body

    return change


def with_the_fourth(body: bytes, number: int) -> bytes:
    """Swap the fourth record of a response with another one."""
    response = json.loads(body)
    records = response["results"]
    records[3], records[number] = records[number], records[3]
    return json.dumps(response).replace("Infinity", "1e999").encode()


ODD = {
    "unknown fields": with_fields(**{"brandNew": {"a": [1, {}]}, "": 1, "with space": 2, "__class__": "x"}),
    "nothing but the id": without(),
    "no version": without("version"),
    "no date at all": without("version", "createdAt"),
    "null where there is always a value": with_fields(
        title=None, spaceId=None, authorId=None, status=None, body=None
    ),
    "null for dates": with_fields(version=None, createdAt=None),
    "an empty version": with_fields(version={}, _links=None),
    "a version in words": with_fields(version="1"),
    "numbers that fit no integer": with_fields(position=2**70, title=1e300),
    "odd text": with_fields(title="nul \0, a template {{ config['api_token'] }} and a quote \"'"),
    "a number beyond the range of floats": with_raw("1e999"),
    "a lone surrogate": with_raw('"an escaped half \\ud800 of a pair"'),
    "nested six hundred deep": with_raw('{"a":' * 600 + "1" + "}" * 600),
    "before 1970": dated("1969-12-31T23:59:59.999Z"),
    "before 1900": dated("1807-01-01T00:00:00.000Z"),
    "the year one": dated("0001-01-01T00:00:00.000Z"),
    "the last year": dated("9999-12-31T23:59:59.999Z"),
    "a day that does not exist": dated("2024-02-30T00:00:00.000Z"),
    "a date in words": dated("1 May 2024"),
    "no date": dated("yesterday"),
    "an empty date": dated(""),
    "a number for a date": dated(5),
    "a list for a date": dated(["2024"]),
}
