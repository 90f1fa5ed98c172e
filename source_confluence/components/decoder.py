"""Parse each response once, for the predicates of the error handler and for the records; remove fields by name."""

import json
import re
from collections.abc import Generator, Iterable, Iterator, MutableMapping
from html import unescape
from typing import Any

from airbyte_cdk.sources.declarative.decoders.json_decoder import JsonDecoder
from airbyte_cdk.sources.declarative.extractors import DpathExtractor
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.transformations import RemoveFields
from requests import Response

NOTHING = "nothing more"
TITLE = re.compile(r"<title[^>]*>\s*([^<]*?)[\s.]*</title", re.IGNORECASE)
SAYING = ("message", "title", "translation", "error", "errors", "errorMessages")
WILDCARDS = frozenset("*?[")
RESULTS = ["results"]


def parsed(response: Response) -> Any:
    """Return the parsed body, which the response keeps.

    A body that is not JSON in UTF-8 is `{}`; a web page is its title, and the plain text of an error is that text.
    """
    kept = vars(response)
    if "parsed" not in kept:
        kept["parsed"] = _parse(response.content)
        if "html" in response.headers.get("Content-Type", ""):
            found = TITLE.search(response.text)
            kept["parsed"] = {"title": unescape(found[1])} if found else {}
        elif not response.ok and not kept["parsed"]:
            kept["parsed"] = response.text or {}
    return kept["parsed"]


def quoted(response: Response) -> str:
    """Return the first message or title in the body of an error, or the whole body."""
    body = parsed(response)
    return next(_said(body), str(body or NOTHING))


def _said(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for said in map(body.get, SAYING):
            yield from (
                each for each in (said if isinstance(said, list) else [said]) if isinstance(each, str)
            )
        body = list(body.values())
    if isinstance(body, list):
        for part in body:
            yield from _said(part)


def _parse(content: bytes) -> Any:
    # Not orjson: it refuses NaN and half a surrogate pair, and rounds integers of more than 64 bits. To look for these
    # first takes longer than it saves.
    try:
        return json.loads(content)
    except ValueError:
        return {}


class OnceDecoder(JsonDecoder):
    """Hand out the body that the response filters have parsed, each time with own records: transformations change them.

    The CDK parses a response again for each predicate, for the records and for the paginator, and takes a body that it
    cannot decode for an empty one.

    Tests: `test_faults.py`, "invalid UTF-8"; `python -m benchmarks proposals`. Delete it when the CDK parses once.
    """

    def decode(self, response: Response) -> Generator[Any, None, None]:
        """Yield the body, or the elements of an array; an empty object where there is nothing."""
        body = parsed(response)
        if isinstance(body, list) and body:
            yield from _with_own_records(body)
        elif isinstance(body, dict):
            yield {name: _with_own_records(value) for name, value in body.items()}
        else:
            yield body or {}


def _with_own_records(value: Any) -> Any:
    return [dict(it) if isinstance(it, dict) else it for it in value] if isinstance(value, list) else value


class OnceResponseFilter(HttpResponseFilter):
    """Show predicates and messages the body that the decoder hands out. See `OnceDecoder`."""

    @staticmethod
    def _safe_response_json(response: Response) -> Any:
        return parsed(response)


class PlainExtractor(DpathExtractor):
    """Look up the results by their name, where `dpath.get` compares the path of every leaf of the response.

    `python -m benchmarks proposals` measures what it saves. Delete it when the CDK does the same.
    """

    def extract_records(self, response: Response) -> Iterable[MutableMapping[Any, Any]]:
        """Yield the records of a response."""
        if self.field_path != RESULTS:
            yield from super().extract_records(response)
            return
        for body in self.decoder.decode(response):
            found = body.get(*RESULTS) if isinstance(body, dict) else None
            yield from found if isinstance(found, list) else [found] if found else []


class PlainRemoveFields(RemoveFields):
    """Delete a field by its name, where `dpath.delete` visits every leaf of the record for each field.

    docs/cdk-proposals.md has what it saves. Delete it when the CDK does the same.
    """

    def transform(self, record: dict[str, Any], *args: Any, **named: Any) -> None:
        """Remove the fields from a record."""
        if self.condition or any(len(path) > 1 or WILDCARDS & set(path[0]) for path in self.field_pointers):
            super().transform(record, *args, **named)
            return
        for (name,) in self.field_pointers:
            record.pop(name, None)
