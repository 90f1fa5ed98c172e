"""Retrieve a whole list, or fail and say where."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from airbyte_cdk.sources.declarative.extractors.record_selector import extracted_record_count
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.streams.http.page_size_reduction_exception import PageSizeReductionRequiredException
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils import AirbyteTracedException
from requests import Response

from source_confluence.components.decoder import parsed
from source_confluence.components.partition_router import CountingRouter
from source_confluence.components.requester import IDS
from source_confluence.components.scope import Scope
from source_confluence.messages import PLACE, error

LOGGER = logging.getLogger("airbyte")
EMPTY_PAGES = 100
RESTARTS = 3
WITH_BODIES = ("pages", "blog_posts", "custom_content")  # lists that can also be asked for ids
BRACKETS = str.maketrans("", "", "[]'")


@dataclass
class Reading:
    """The list of one partition, as far as it is read.

    Attributes:
        tokens: The next-page tokens so far.
        empty: How many of the last pages were empty.
        end: The offset behind the last row, in a list with offsets.
        last: That row.
        restarts: How often it began again, because rows moved.
        unreadable: The ids of what Confluence cannot return with its body.
    """

    tokens: set[Any] = field(default_factory=set)
    empty: int = 0
    end: int = 0
    last: Any = None
    restarts: int = 0
    unreadable: list[str] = field(default_factory=list)


class WholeListRetriever(SimpleRetriever):
    """Fail a partition whose list never ends, or that contains a record without its primary key.

    The CDK follows next-page links that lead in a circle (airbytehq/airbyte-python-cdk issue 1148), or to empty
    pages, forever. It skips a parent without its id, and all its children, without a word; and a destination that
    removes duplicates keeps one of all records without a key. In a list with offsets, a row that disappears moves
    another one to a page that is already read: each page begins with the last row of the page before, or the list is
    read again. One body that Confluence cannot return fails all of a page of the list, and all that follow.

    Tests: `test_faults.py`, "next: a loop of two pages"; `test_absence.py`, offsets; `test_invalid_records.py`,
    "no id"; `test_oddities.py::test_endless_empty_pages_fail_on_v2`;
    `test_oddities.py::test_a_permanent_failure_says_where_it_occurred`. Delete it when the CDK fails in these cases.
    """

    parents: CountingRouter | None = None  # the factory sets it
    scope: Scope | None = None  # the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._readings: dict[int, Reading] = {}  # by the slice that is being read

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Any]:
        """Yield the records that have their key; then fail if some have not."""
        key: Any = self.primary_key
        keyless, previous = 0, None
        try:
            records: Any = super().read_records(records_schema, stream_slice)
            for record in self.scope.chosen(self.name, records) if self.scope else records:
                data = record.data
                values = [data.get(name) for name in key]
                if None in values:
                    keyless += 1
                elif values != previous:  # else the row in which two pages overlap
                    yield record
                    previous = values
            if self.parents:
                self.parents.advance(self.name)
            if keyless:
                count = "a record" if keyless == 1 else f"{keyless} records"
                raise error("keyless", count=count, stream=self.name, key=" or ".join(key))
        except AirbyteTracedException as failure:
            requester: Any = self.requester
            requester.failed += isinstance(failure.__context__, PageSizeReductionRequiredException)
            _, _, said = (failure.internal_message or str(failure)).rpartition(PLACE)
            # A new one, without the name of a stream: the catalog may not have the parent that failed.
            raise AirbyteTracedException(
                internal_message=f"{place(stream_slice)}{PLACE}{said}",
                message=failure.message,
                failure_type=failure.failure_type,
                exception=failure,
            ) from failure

    def _read_pages(self, records_generator_fn: Any, stream_slice: StreamSlice) -> Iterable[Any]:
        reading = self._readings[id(stream_slice)] = Reading()
        try:
            yield from super()._read_pages(records_generator_fn, stream_slice)
        finally:
            del self._readings[id(stream_slice)]
        if reading.unreadable:
            raise error("unreadable", ids=", ".join(reading.unreadable))

    def _fetch_next_page(self, stream_slice: StreamSlice, *token: Any, **named: Any) -> Response | None:
        """Request a page of a list; where its bodies give 500, without them, and then the bodies by id, in halves."""
        try:
            return super()._fetch_next_page(stream_slice, *token, **named)
        except AirbyteTracedException as failure:
            if self.name not in WITH_BODIES or not is_server_error(failure):
                raise
        response = super()._fetch_next_page(with_ids(stream_slice, ""), *token, **named)
        if response is not None and (rows := parsed(response).get("results")):
            reading = self._readings[id(stream_slice)]
            parsed(response)["results"] = self._by_id(stream_slice, [row["id"] for row in rows], reading)
        return response

    def _by_id(self, stream_slice: StreamSlice, ids: list[str], reading: Reading) -> list[Any]:
        try:
            response = super()._fetch_next_page(with_ids(stream_slice, ",".join(ids)))
            rows = list(parsed(response)["results"]) if response is not None else []
            if len(ids) in (1, len(rows)):  # else the page is short, or one of them is gone
                return rows
        except AirbyteTracedException as failure:
            if not is_server_error(failure):
                raise
            if len(ids) == 1:
                reading.unreadable += ids
                return []
        half = len(ids) // 2
        return self._by_id(stream_slice, ids[:half], reading) + self._by_id(stream_slice, ids[half:], reading)

    def _next_page_token(self, **named: Any) -> Any:  # type: ignore[override]  # the CDK passes all by name
        token = super()._next_page_token(**named)
        reading = self._readings[id(named["stream_slice"])]
        at, then = named["last_page_token_value"], token and token["next_page_token"]
        if str(then).startswith("# "):  # the manifest's own words, because the link leads nowhere
            raise error("no_cursor")
        # The offsets of restrictions count the users and groups inside the rows.
        has_offsets = isinstance(at or then, int) and "start" not in list(self.primary_key or [])
        if has_offsets and self._has_gap(reading, at or 0, named["response"]):
            return self._from_the_beginning(reading)
        if token:
            if then in reading.tokens:
                raise error("circle")
            reading.tokens.add(then)
            is_empty = not extracted_record_count(named["response"], named["last_page_size"])
            reading.empty = reading.empty + 1 if is_empty else 0
            if reading.empty >= EMPTY_PAGES:
                raise error("empty_pages", count=EMPTY_PAGES)
        return token

    @staticmethod
    def _has_gap(reading: Reading, start: int, response: Response) -> bool:
        """Tell whether a page should begin with the last row of the page before, and does not."""
        rows = parsed(response).get("results") or []
        gap = start == reading.end - 1 and rows[:1] != [reading.last]
        reading.end, reading.last = start + len(rows), rows[-1] if rows else None
        return gap

    def _from_the_beginning(self, reading: Reading) -> dict[str, Any]:
        if reading.restarts >= RESTARTS:
            raise error("moved_rows")
        LOGGER.info("%s: rows moved while the list was read; it is read again from its beginning.", self.name)
        vars(reading).update(vars(Reading(restarts=reading.restarts + 1)))
        return {"next_page_token": 0}


def with_ids(stream_slice: StreamSlice, ids: str) -> StreamSlice:
    """Return a slice whose request is for these ids, or for none of their bodies."""
    return StreamSlice(
        partition=stream_slice.partition,
        cursor_slice=stream_slice.cursor_slice,
        extra_fields={**stream_slice.extra_fields, IDS: ids},
    )


def is_server_error(failure: AirbyteTracedException) -> bool:
    """Tell whether the last of all retries was answered with 500."""
    response = getattr(failure.__context__, "response", None)
    return isinstance(response, Response) and response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR


def place(stream_slice: StreamSlice | None) -> str:
    """Name a partition for a message, such as `page 123` or `space ENG`."""
    if not stream_slice:
        return ""
    named = []
    for name, value in stream_slice.partition.items():
        if name not in ("parent_slice", "chosen", "once"):
            noun = re.sub("(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Id")).lower()
            keys = stream_slice.extra_fields.get("key") if name == "spaceId" else None
            named.append(f"{noun} {keys or value}")
    return ", ".join(named).translate(BRACKETS)
