"""A record's way from the answer to the output, without the CDK's detours.

Every patch gives what the CDK gives, and hands back to the CDK what it does not know. What each saves and
where it belongs in the CDK stands in docs/cdk-proposals.md. To be deleted one by one, as the CDK follows.
"""

from __future__ import annotations

import re
from collections import deque
from functools import cache
from queue import Queue
from threading import Lock
from typing import TYPE_CHECKING, Any

import dpath
import orjson
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.decoders.json_decoder import JsonDecoder
from airbyte_cdk.sources.declarative.extractors.dpath_extractor import DpathExtractor
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.transformations import add_fields, remove_fields
from airbyte_cdk.sources.streams.concurrent.partition_reader import PartitionReader
from airbyte_cdk.sources.types import Record
from jinja2 import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import requests
    from airbyte_cdk.sources.streams.concurrent.cursor import Cursor
    from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
    from jinja2.environment import Template

PLAIN_KEY = re.compile(r"\w+")
# Digits with letters or colons among them, as in 2024-01-31T00:00:00.000Z, are no Python literal.
NO_LITERAL = re.compile(r"[0-9][0-9.+-]*[T:][\w.:+-]*")
CONSTANTS = {"True": True, "False": False, "None": None}
RECORDS_A_PIECE, WAITING_PIECES = 50, 20
# Python 3.11 counts how deep a syntax tree is for all threads together: two that parse at once can fail with
# "AST constructor recursion depth mismatch" (CPython issue 106905).
PARSING = Lock()
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


def decoded(answer: requests.Response) -> dict[str, Any] | None:
    """Return the object in an answer, decoded once; None when there is none, or an empty one."""
    if "_decoded" not in answer.__dict__:
        try:
            body = orjson.loads(answer.content)
        except ValueError:
            body = None
        answer.__dict__["_decoded"] = body if isinstance(body, dict) and body else None
    found: dict[str, Any] | None = answer.__dict__["_decoded"]
    return found


def seen_by_predicates(answer: requests.Response) -> Any:
    """Show all predicates the same object: the CDK decodes the answer anew for each of them."""
    body = decoded(answer)
    return cdk_seen_by_predicates(answer) if body is None else body


def decode(self: JsonDecoder, response: requests.Response) -> Iterator[Any]:
    """Hand out what the predicates have decoded, once: who comes after may change it."""
    body = decoded(response)
    if body is None:
        yield from cdk_decode(self, response)
    else:
        del response.__dict__["_decoded"]
        yield body


def extract_records(self: DpathExtractor, response: requests.Response) -> Iterator[Any]:
    """Look a plain key up: `dpath.get` compares the path of every leaf of the answer with it."""
    path = [str(part.eval(self.config)) for part in self._field_path]
    is_plain = len(path) == 1 and PLAIN_KEY.fullmatch(path[0]) and not self.record_expander
    if not is_plain or type(self.decoder) is not JsonDecoder or decoded(response) is None:
        yield from cdk_extract_records(self, response)
        return
    for body in self.decoder.decode(response):
        extracted = body.get(path[0])
        if isinstance(extracted, list):
            yield from extracted
        elif extracted:
            yield extracted


def literal_eval(self: JinjaInterpolation, result: Any, valid_types: Any) -> Any:
    """Return at once what Python's parser would refuse or what it would make of the commonest words."""
    if isinstance(result, str):
        if not valid_types and result in CONSTANTS:
            return CONSTANTS[result]
        if NO_LITERAL.fullmatch(result):
            return result
    with PARSING:
        return cdk_literal_eval(self, result, valid_types)


@cache
def compile_template(text: str) -> Template:
    """Keep those functions that the template names: for each record, all that it could call are copied."""
    template = cdk_compile_template(text)
    names = {name.name for name in template.environment.parse(text).find_all(nodes.Name)}
    template.globals = {name: value for name, value in template.globals.items() if name in names}
    return template


class Dpath:
    """What AddFields asks of dpath."""

    @staticmethod
    def new(record: Any, path: Sequence[str], value: Any) -> None:
        """Set a field of the record itself at once, one further down as dpath does."""
        if len(path) == 1 and isinstance(record, dict):
            record[path[0]] = value
        else:
            dpath.new(record, path, value)


class RemovingDpath:
    """What RemoveFields asks of dpath."""

    exceptions = dpath.exceptions

    @staticmethod
    def delete(record: Any, pointer: Sequence[str], afilter: Any = None) -> None:
        """Take a field of the record itself away at once: dpath compares the path of every field with it."""
        is_plain = isinstance(pointer, list) and len(pointer) == 1 and PLAIN_KEY.fullmatch(str(pointer[0]))
        if is_plain and isinstance(record, dict) and not afilter:
            record.pop(pointer[0], None)
        else:
            dpath.delete(record, pointer, afilter=afilter)


class CursorOfPartition:
    """The cursor of a stream while one partition is read: spares it the records that cannot move it.

    Of each record that it sees, the CDK parses the moment twice and writes the partition out three times.
    """

    def __init__(self, cursor: Cursor, before_closing: Callable[[], None]) -> None:
        self._cursor, self._before_closing = cursor, before_closing
        field = getattr(cursor, "cursor_field", None)
        self._field = field.cursor_field_key if field else ""
        self._newest, self._descends = "", False

    def close_partition(self, partition: Partition) -> None:
        """Close it once its records are passed on: from now on a state can say that they were read."""
        self._before_closing()
        self._cursor.close_partition(partition)

    def observe(self, record: Record) -> None:
        """Pass a record on, unless one as new has been."""
        moment = record.data.get(self._field)
        if not isinstance(moment, str) or not MOMENT.fullmatch(moment):
            self._cursor.observe(record)
        elif moment > self._newest:
            self._cursor.observe(record)
            self._newest = moment
        elif moment < self._newest and not self._descends:
            self._cursor.observe(record)  # so that it learns that the order is not ascending
            self._descends = True


class RecordQueue(Queue[Any]):
    """What waits for the one thread that prints: fewer and larger pieces than the CDK hands over.

    Ten thousand records wait in the CDK's queue, whatever their size, and each of them wakes a thread.
    """

    def __init__(self, maxsize: int) -> None:  # noqa: ARG002 - what the CDK asks for
        super().__init__(WAITING_PIECES)
        self._taken: deque[Any] = deque()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as inherited
        """Return the next single item."""
        if not self._taken:
            item = super().get(block, timeout)
            if not isinstance(item, list):
                return item
            self._taken.extend(item)
        return self._taken.popleft()

    def empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self._taken and super().empty()


class RecordsOfPartition:
    """The queue while one partition is read: gathers its records, and passes them on before all else."""

    def __init__(self, queue: Queue[Any]) -> None:
        self._queue = queue
        self._gathered: list[Any] = []

    def put(self, item: Any) -> None:
        """Put a record in the next piece, or pass on what is none."""
        if isinstance(item, Record):
            self._gathered.append(item)
            if len(self._gathered) == RECORDS_A_PIECE:
                self.flush()
        else:
            self.flush()
            self._queue.put(item)

    def flush(self) -> None:
        """Pass on what has been gathered."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []


def process_partition(self: PartitionReader, partition: Partition, cursor: Cursor) -> None:
    """Read a partition with a cursor that is spared, and a queue that is."""
    records = RecordsOfPartition(self._queue)
    reader = PartitionReader(records, self._partition_logger)  # type: ignore[arg-type]  # all it calls
    cdk_process_partition(reader, partition, CursorOfPartition(cursor, records.flush))  # type: ignore[arg-type]  # as above


PATCHES: list[tuple[Any, str, Any]] = [
    (HttpResponseFilter, "_safe_response_json", staticmethod(seen_by_predicates)),
    (JsonDecoder, "decode", decode),
    (DpathExtractor, "extract_records", extract_records),
    (JinjaInterpolation, "_literal_eval", literal_eval),
    (JinjaInterpolation, "_compile", staticmethod(compile_template)),
    (add_fields, "dpath", Dpath),
    (remove_fields, "dpath", RemovingDpath),
    (PartitionReader, "process_partition", process_partition),
    (concurrent_declarative_source, "Queue", RecordQueue),
]
ORIGINALS: list[tuple[Any, str, Any]] = [(owner, name, vars(owner)[name]) for owner, name, _ in PATCHES]
cdk_seen_by_predicates = HttpResponseFilter._safe_response_json  # noqa: SLF001 - patched above
cdk_decode = JsonDecoder.decode
cdk_extract_records = DpathExtractor.extract_records
cdk_literal_eval = JinjaInterpolation._literal_eval  # noqa: SLF001 - patched above
cdk_compile_template = JinjaInterpolation._compile  # noqa: SLF001 - patched above
cdk_process_partition = PartitionReader.process_partition


def install() -> None:
    """Put the patches in place."""
    for owner, name, patch in PATCHES:
        setattr(owner, name, patch)
