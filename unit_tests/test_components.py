"""Our components do what the CDK's do, and leave the CDK's alone."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airbyte_cdk.sources.declarative.extractors.dpath_extractor import DpathExtractor
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.transformations.remove_fields import RemoveFields
from airbyte_cdk.sources.streams.concurrent.partition_reader import PartitionReader
from airbyte_cdk.sources.streams.concurrent.partitions.types import PartitionCompleteSentinel
from airbyte_cdk.sources.types import Record
from hypothesis import given, settings
from hypothesis import strategies as st

from source_confluence.components.decoder import KeyExtractor, OnceDecoder, OnceResponseFilter
from source_confluence.components.record_queue import BATCHES, RecordQueue
from source_confluence.components.transformations import RecordInterpolation, RecordString, RemovePlainFields

if TYPE_CHECKING:
    from collections.abc import Iterator

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


REPLACED = """
import sys, airbyte_cdk, requests, urllib3, requests_cache
from airbyte_cdk.sources.declarative.parsers import model_to_component_factory
def names():
    return {(m.__name__, k, id(v)) if not isinstance(v, type) else (m.__name__, k, id(v), tuple((n, id(w)) for n, w in vars(v).items() if callable(w)))
            for m in list(sys.modules.values()) if m and (m.__name__.split('.')[0] in ('airbyte_cdk', 'requests', 'urllib3', 'requests_cache', 'http'))
            for k, v in vars(m).items() if not k.startswith('__') and (isinstance(v, type) or callable(v))}
before = names()
from source_confluence import SourceConfluence
SourceConfluence(config={"domain_name": "x", "email": "a", "api_token": "b"}).streams({})
after = names()
print(sorted(entry[:2] for entry in before - after))
"""


def test_nothing_of_the_cdk_is_replaced() -> None:
    ran = subprocess.run([sys.executable, "-c", REPLACED], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("body", [b for what, b in ANSWERS.items() if what != "a byte order mark"])
def test_of_any_answer_the_same_records_are_taken_as_the_cdk_takes(path: list[str], body: bytes) -> None:
    theirs = DpathExtractor(field_path=[*path], config={"field": "results"}, parameters={})
    ours = KeyExtractor(
        field_path=[*path], config={"field": "results"}, parameters={}, decoder=OnceDecoder(parameters={})
    )
    assert taken(ours, body) == taken(theirs, body)


@pytest.mark.parametrize(
    "body",
    [
        b
        for what, b in ANSWERS.items()
        if what not in ("a large number", "bytes that are no UTF-8", "a byte order mark")
    ],
)
def test_predicates_see_the_answer_that_the_cdk_shows_them(body: bytes) -> None:
    assert repr(OnceResponseFilter._safe_response_json(answer(body))) == repr(  # noqa: SLF001 - what predicates are given
        HttpResponseFilter._safe_response_json(answer(body))  # noqa: SLF001 - as above
    )


def test_what_changes_a_record_does_not_change_what_the_paginator_sees() -> None:
    response, decoder = answer(ANSWERS["a list of results"]), OnceDecoder(parameters={})
    extractor = KeyExtractor(field_path=["results"], config={}, parameters={}, decoder=decoder)
    for record in extractor.extract_records(response):
        record.clear()
    assert list(decoder.decode(response)) == [json.loads(ANSWERS["a list of results"])]


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
    ours, theirs = (
        interpolation._literal_eval(text, types)  # noqa: SLF001 - what is compared
        for interpolation in (RecordInterpolation(), JinjaInterpolation())
    )
    assert (type(ours), repr(ours)) == (type(theirs), repr(theirs))


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
def test_a_template_gives_what_the_cdk_makes_of_it(template: str) -> None:
    def rendered(kind: type[InterpolatedString]) -> Any:
        try:
            return kind(string=template, parameters={}).eval({"name": "ENG"}, record={"id": "7"})
        except ValueError as error:
            return str(error)

    assert rendered(RecordString) == rendered(InterpolatedString)


@pytest.mark.parametrize(
    "pointer",
    [["list"], ["text"], ["none"], ["empty"], ["missing"], ["a", "b"], ["list", 0], ["te*"], ["3"]],
    ids=str,
)
def test_a_field_is_taken_away_where_the_cdk_takes_it(pointer: list[Any]) -> None:
    def left(kind: type[RemoveFields]) -> Any:
        record = {"list": [1], "text": "x", "none": None, "empty": {}, "a": {"b": 1, "c": 2}, "3": 3}
        kind(field_pointers=[pointer], parameters={}).transform(record)
        return record

    assert left(RemovePlainFields) == left(RemoveFields)


class Closing:
    """A cursor that puts a state in the queue when a partition is closed."""

    def __init__(self, queue: RecordQueue) -> None:
        self.queue = queue

    def observe(self, record: Record) -> None:
        """Nothing."""

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
    queue = RecordQueue()
    part: Any = Part(count)
    PartitionReader(queue).process_partition(part, Closing(queue))  # type: ignore[arg-type]  # all of a cursor that it calls
    came = [queue.get() for _ in range(count + 2)]
    assert [record.data["updatedAt"] for record in came[:count]] == [f"{n:04}" for n in range(count)]
    assert came[count] == ("state", "pages")
    assert isinstance(came[count + 1], PartitionCompleteSentinel)
    assert queue.empty()


def test_the_records_before_a_failure_come_before_it() -> None:
    queue = RecordQueue()
    part: Any = Part(70, fails=True)
    PartitionReader(queue).process_partition(part, Closing(queue))  # type: ignore[arg-type]  # all of a cursor that it calls
    kinds = [type(queue.get()).__name__ for _ in range(72)]
    assert kinds == ["Record"] * 70 + ["StreamThreadException", "PartitionCompleteSentinel"]
    assert queue.empty()


def test_no_more_records_wait_than_a_few_pieces() -> None:
    queue = RecordQueue()
    part: Any = Part(10_000)
    cursor = Closing(queue)
    reading = Thread(target=PartitionReader(queue).process_partition, args=(part, cursor), daemon=True)
    reading.start()
    reading.join(timeout=1)
    assert reading.is_alive()
    assert queue.qsize() == BATCHES
    taken = 0
    while not isinstance(queue.get(), PartitionCompleteSentinel):
        taken += 1
    assert taken == 10_001


def answer(body: bytes) -> requests.Response:
    """Return an answer as requests gives it."""
    response = requests.Response()
    response.status_code, response._content = 200, body  # noqa: SLF001 - there is no other way to make one
    return response


def taken(extractor: DpathExtractor, body: bytes) -> Any:
    """Return the records that an extractor takes, or the name of what it raises."""
    try:
        return list(extractor.extract_records(answer(body)))
    except Exception as error:  # noqa: BLE001 - whatever it is must be the same
        return type(error).__name__
