"""Records come the fast way, and are what the CDK's own way gives."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from airbyte_cdk.sources.declarative.extractors.dpath_extractor import DpathExtractor
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.transformations.add_fields import AddedFieldDefinition, AddFields
from airbyte_cdk.sources.declarative.transformations.remove_fields import RemoveFields
from airbyte_cdk.sources.streams.concurrent.cursor import CursorField
from airbyte_cdk.sources.streams.concurrent.partition_reader import PartitionReader
from airbyte_cdk.sources.streams.concurrent.partitions.types import PartitionCompleteSentinel
from airbyte_cdk.sources.types import Record
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_confluence import Server, generate
from source_confluence import fast_records
from source_confluence.source import MANIFEST
from unit_tests.conftest import config_for, connector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWERS = {
    "a list of results": b'{"results": [{"id": "1"}, {"id": "2"}], "_links": {"next": "/x"}}',
    "an object for results": b'{"results": {"id": "1"}}',
    "no results": b'{"other": [{"id": "1"}]}',
    "null for results": b'{"results": null}',
    "an empty list": b'{"results": []}',
    "an empty object": b'{"results": {}}',
    "a number": b'{"results": 7}',
    "a text": b'{"results": "text"}',
    "zero": b'{"results": 0}',
    "records that are none": b'{"results": [1, null, "x", [2], {}]}',
    "the same key further down": b'{"results": [{"results": [{"id": "1"}]}]}',
    "a list at the top": b'[{"results": [{"id": "1"}]}, {"results": [{"id": "2"}]}]',
    "lists at the top": b'[[{"id": "1"}], 3]',
    "nothing but an empty object": b"{}",
    "null": b"null",
    "a bare text": b'"results"',
    "no bytes": b"",
    "an answer cut short": b'{"results": [{"id": "1"}',
    "a web page": b"<html></html>",
    "a number that JSON has not": b'{"results": [{"id": NaN}]}',
    "half a character": b'{"results": [{"id": "\\ud800"}]}',
    "bytes that are no UTF-8": b'{"results": [{"id": "\xff"}]}',
    "a byte order mark": b'\xef\xbb\xbf{"results": [{"id": "1"}]}',
    "a key twice": b'{"results": [{"id": "1", "id": "2"}], "results": [{"id": "3"}]}',
    "a large number": b'{"results": [{"id": 123456789012345678901234567890}]}',
}
PATHS = [
    ["results"],
    [],
    ["missing"],
    ["results", "id"],
    ["results", "*", "results"],
    ["*"],
    ["resul*"],
    ["results", "0"],
    ["{{ config['field'] }}"],
]


@pytest.fixture
def as_the_cdk_does(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what takes the patches away for the rest of a test."""

    def restore() -> None:
        for owner, name, original in fast_records.ORIGINALS:
            monkeypatch.setattr(owner, name, original)

    return restore


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_of_any_answer_the_same_records_are_taken_as_the_cdk_takes(
    path: list[str], as_the_cdk_does: Callable[[], None]
) -> None:
    fast = [taken(path, body) for body in ANSWERS.values()]
    as_the_cdk_does()
    assert fast == [taken(path, body) for body in ANSWERS.values()]


def test_predicates_and_messages_see_the_answer_that_the_cdk_shows_them(
    as_the_cdk_does: Callable[[], None],
) -> None:
    bodies = {what: body for what, body in ANSWERS.items() if what != "a large number"}  # the records' number
    fast = [seen(body) for body in bodies.values()]
    as_the_cdk_does()
    assert fast == [seen(body) for body in bodies.values()]


def test_what_changes_a_record_does_not_change_what_the_paginator_sees() -> None:
    response = answer(ANSWERS["a list of results"])
    extractor = DpathExtractor(field_path=["results"], config={}, parameters={})
    for record in extractor.extract_records(response):
        record.clear()
    assert list(extractor.decoder.decode(response)) == [json.loads(ANSWERS["a list of results"])]


LITERALS = st.one_of(
    st.text(st.sampled_from("0123456789.:T+-Ze_jxX'\"()[]{},# \nNone"), max_size=12),
    st.text(max_size=8),
    st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='milliseconds')}Z"),
    st.datetimes().map(str),
    st.times().map(str),
    st.sampled_from(["True", "False", "None", " True", "1T", "1-T", "0x1T", "1:2", "{1:2}", "1_000", "1e5"]),
)


@settings(max_examples=2_000, deadline=None)
@given(LITERALS, st.sampled_from([None, (str,), (int,), (bool,), (float,)]))
def test_text_becomes_the_value_that_the_cdk_makes_of_it(text: str, types: Any) -> None:
    jinja = JinjaInterpolation()
    fast, slow = (
        fast_records.literal_eval(jinja, text, types),
        fast_records.cdk_literal_eval(jinja, text, types),
    )
    assert (type(fast), repr(fast)) == (type(slow), repr(slow))


def test_only_one_thread_at_a_time_has_python_parse_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 can fail where two do."""
    inside: list[int] = []
    most: list[int] = []

    def parse(*_: object) -> str:
        inside.append(1)
        most.append(len(inside))
        Event().wait(0.01)
        inside.pop()
        return "parsed"

    monkeypatch.setattr(fast_records, "cdk_literal_eval", parse)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: fast_records.literal_eval(JinjaInterpolation(), "{}", None), range(8)))
    assert done == ["parsed"] * 8
    assert most == [1] * 8


@pytest.mark.parametrize(
    "template",
    [
        "{{ record.id }} of {{ config['name'] }}",
        "{{ max(2, 3) }} {{ max([4, 5]) }}",
        "{{ duration('P1D').days }} {{ timestamp('2024-01-31T00:00:00Z') }}",
        "{% set record = {'id': 'shadow'} %}{{ record.id }}",
        "{% set box = namespace(n=1) %}{% for n in [1] %}{% set box.n = n + 1 %}{% endfor %}{{ box.n }}",
        "{% macro twice(x) %}{{ max(x, 2) }}{{ x }}{% endmacro %}{{ twice(1) }}",
        "{{ [1, 2] | map('string') | join(dict(a='-')['a']) }} {{ 'x' | hash('md5') }}",
        "{{ missing }}",
        "{{ record.missing }}",
        "no template",
        "",
    ],
)
def test_a_template_gives_what_the_cdk_makes_of_it(
    template: str, as_the_cdk_does: Callable[[], None]
) -> None:
    def rendered() -> Any:
        try:
            text = InterpolatedString(string=template, parameters={})
            return text.eval({"name": "ENG"}, record={"id": "7"})
        except ValueError as error:
            return str(error)

    fast = rendered()
    as_the_cdk_does()
    assert fast == rendered()


RECORDS: list[dict[str, Any]] = [
    {"version": {"createdAt": "2024-01-31T00:00:00.000Z"}, "createdAt": "2023-01-31T00:00:00.000Z"},
    {"createdAt": "2023-01-31T00:00:00Z"},
    {"version": None, "createdAt": "2023"},
    {"version": {"createdAt": None}, "createdAt": None},
    {"version": {"createdAt": ""}},
    {"version": {}},
    {},
]


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_the_moment_of_a_change_is_that_of_the_version_or_else_of_the_making(record: dict[str, Any]) -> None:
    (field,) = yaml.safe_load(MANIFEST.read_text("utf-8"))["definitions"]["with_updated_at"]["fields"]
    changed = with_field(record, field["path"], field["value"])
    told = (record.get("version") or {}).get("createdAt") or record.get("createdAt")
    # Text that reads like a number becomes one, in the CDK as here.
    assert changed == {**record, "updatedAt": 2023 if told == "2023" else told}


@pytest.mark.parametrize("path", [["new"], ["a", "b"], ["list", "1"], ["text", "b"], ["3"], ["*"]], ids=str)
def test_a_field_is_added_where_the_cdk_adds_it(path: list[str], as_the_cdk_does: Callable[[], None]) -> None:
    def added() -> Any:
        try:
            return with_field({"list": [1], "text": "x"}, path, "{{ record.list }}")
        except Exception as error:  # noqa: BLE001 - whatever it is must be the same
            return type(error)

    fast = added()
    as_the_cdk_does()
    assert fast == added()


@pytest.mark.parametrize(
    "pointer",
    [["list"], ["text"], ["none"], ["empty"], ["missing"], ["a", "b"], ["list", 0], ["te*"], ["3"]],
    ids=str,
)
def test_a_field_is_taken_away_where_the_cdk_takes_it(
    pointer: list[Any], as_the_cdk_does: Callable[[], None]
) -> None:
    def left() -> Any:
        record = {"list": [1], "text": "x", "none": None, "empty": {}, "a": {"b": 1, "c": 2}, "3": 3}
        RemoveFields(field_pointers=[pointer], parameters={}).transform(record)
        return record

    fast = left()
    as_the_cdk_does()
    assert fast == left()


def test_a_read_gives_the_records_states_and_statuses_that_the_cdk_gives(
    server: Server, as_the_cdk_does: Callable[[], None]
) -> None:
    fast = everything(server)
    as_the_cdk_does()
    assert fast == everything(server)


def test_the_cursor_stands_where_the_cdk_puts_it_however_moments_are_written(
    as_the_cdk_does: Callable[[], None],
) -> None:
    site = generate(pages=60, spaces=3, comments=12, body_bytes=0)
    for name in ("pages", "footer_comments"):
        for n, record in enumerate(site.records(name)):
            written = {1: ".123456+00:00", 2: "Z"}.get(n % 5, ".000Z")
            record["version"] = {**record["version"], "createdAt": f"2024-01-31T00:00:{n % 60:02}{written}"}
    with Server(site) as server:
        fast = cursors(server)
        as_the_cdk_does()
        assert fast == cursors(server)
    assert "2024-01-31T00:00:59.000Z" in json.dumps(fast)


class Observed:
    """A cursor of which only the newest moment is asked, and whether all came in ascending order."""

    cursor_field = CursorField("updatedAt")

    def __init__(self) -> None:
        self.newest, self.ascends = "", True

    def observe(self, record: Record) -> None:
        moment = record.data["updatedAt"]
        self.ascends = self.ascends and moment >= self.newest
        self.newest = max(moment, self.newest)


@given(st.lists(st.integers(0, 9).map("2024-01-31T00:00:0{}.000Z".format)))
def test_a_cursor_knows_the_newest_moment_and_the_order_though_it_sees_few_records(
    moments: list[str],
) -> None:
    spared, told = Observed(), Observed()
    cursor = fast_records.CursorOfPartition(spared, list)  # type: ignore[arg-type]  # all of a cursor that it calls
    for moment in moments:
        record = Record({"updatedAt": moment}, "pages")
        cursor.observe(record)
        told.observe(record)
    assert vars(spared) == vars(told)


class Closing(Observed):
    """A cursor that puts a state in the queue when a partition is closed."""

    def __init__(self, queue: fast_records.RecordQueue) -> None:
        super().__init__()
        self.queue = queue

    def close_partition(self, partition: Any) -> None:
        self.queue.put(("state", partition.stream_name()))


class Part:
    """A partition of some records; more than as many fail it."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self.count, self.fails = count, fails

    def read(self) -> Iterator[Record]:
        for n in range(self.count):
            yield Record({"updatedAt": f"{n:04}"}, "pages")
        if self.fails:
            raise ValueError("no more")

    def stream_name(self) -> str:
        return "pages"


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
def test_records_come_one_by_one_in_their_order_and_before_the_state_that_counts_them(count: int) -> None:
    queue = fast_records.RecordQueue(10_000)
    part: Any = Part(count)
    PartitionReader(queue).process_partition(part, Closing(queue))  # type: ignore[arg-type]  # all of a cursor that it calls
    came = [queue.get() for _ in range(count + 2)]
    assert [record.data["updatedAt"] for record in came[:count]] == [f"{n:04}" for n in range(count)]
    assert came[count] == ("state", "pages")
    assert isinstance(came[count + 1], PartitionCompleteSentinel)
    assert queue.empty()


def test_the_records_before_a_failure_come_before_it() -> None:
    queue = fast_records.RecordQueue(10_000)
    part: Any = Part(70, fails=True)
    PartitionReader(queue).process_partition(part, Closing(queue))  # type: ignore[arg-type]  # all of a cursor that it calls
    kinds = [type(queue.get()).__name__ for _ in range(72)]
    assert kinds == ["Record"] * 70 + ["StreamThreadException", "PartitionCompleteSentinel"]
    assert queue.empty()


def test_no_more_records_wait_than_a_few_pieces() -> None:
    queue = fast_records.RecordQueue(10_000)
    part: Any = Part(10_000)
    cursor = Closing(queue)
    reading = Thread(target=PartitionReader(queue).process_partition, args=(part, cursor), daemon=True)
    reading.start()
    reading.join(timeout=1)
    assert reading.is_alive()
    assert queue.qsize() == fast_records.WAITING_PIECES
    taken = 0
    while not isinstance(queue.get(), PartitionCompleteSentinel):
        taken += 1
    assert taken == 10_001


VARYING = ("lookback_window", "sourceStats")


def everything(server: Server) -> Any:
    """Read some streams of each kind, and return what must be the same each time."""
    names = (
        "space",
        "pages",
        "rendered_pages",
        "page_versions",
        "page_labels",
        "tree_item_index",
        "users",
        "audit",
    )
    out = connector("read", config_for(server), select=names, incremental=True)
    records = {name: sorted(map(json.dumps, found)) for name, found in out.records.items()}
    assert all(records[name] for name in names)
    return records, positions(out.state), out.statuses, out.errors


def cursors(server: Server) -> Any:
    """Read pages and comments, and return their states."""
    return positions(
        connector("read", config_for(server), select=["pages", "footer_comments"], incremental=True).state
    )


def positions(state: list[dict[str, Any]]) -> Any:
    """Return where the streams stand, whatever the order and the time in which they were read."""

    def of(found: Any) -> Any:
        if isinstance(found, dict):
            return {key: of(value) for key, value in found.items() if key not in VARYING}
        return sorted(map(of, found), key=repr) if isinstance(found, list) else found

    return of(state)


def answer(body: bytes) -> requests.Response:
    """Return an answer as requests gives it."""
    response = requests.Response()
    response.status_code, response._content = 200, body  # noqa: SLF001 - there is no other way to make one
    return response


def taken(path: list[str], body: bytes) -> Any:
    """Return the records that an extractor takes, or the name of what it raises."""
    extractor = DpathExtractor(field_path=list(path), config={"field": "results"}, parameters={})
    try:
        return list(extractor.extract_records(answer(body)))
    except Exception as error:  # noqa: BLE001 - whatever it is must be the same
        return type(error).__name__


def seen(body: bytes) -> Any:
    """Return what a predicate sees of an answer."""
    return repr(HttpResponseFilter._safe_response_json(answer(body)))  # noqa: SLF001 - what predicates are given


def with_field(record: dict[str, Any], path: list[str], value: str) -> dict[str, Any]:
    """Return a copy of the record to which a field is added."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    field = AddedFieldDefinition(path=path, value=value, value_type=None, parameters={})
    AddFields(fields=[field], parameters={}).transform(copy, config={})
    return copy
