"""Retrieve a whole list, or fail and say where."""

from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.extractors.record_selector import extracted_record_count
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils import AirbyteTracedException

from source_confluence.components.partition_router import CountingRouter

EMPTY_PAGES = 100
NOWHERE = {"no cursor in the next link", "no start in the next link"}  # as the manifest says


class WholeListRetriever(SimpleRetriever):
    """Fail a partition whose list never ends, or that contains a record without its primary key.

    The CDK follows next-page links that lead in a circle (airbytehq/airbyte-python-cdk issue 1148), or to empty
    pages, forever. It skips a parent without its id, and all its children, without a word; and a destination that
    removes duplicates keeps one of all records without a key.

    Tests: `test_faults.py`, "next: a loop of two pages"; `test_oddities.py`, 13 and 18;
    `test_invalid_records.py`, "no id". Delete it when the CDK fails in these cases.
    """

    parents: CountingRouter | None = None  # the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        # By the slice that is being read: its tokens so far, and how many of the last pages were empty.
        self._tokens: dict[int, set[Any]] = {}
        self._empty: dict[int, int] = {}

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Any]:
        """Yield the records that have their key; then fail if some have not."""
        key: Any = self.primary_key
        count = keyless = 0
        try:
            for record in super().read_records(records_schema, stream_slice):
                data = record.data  # type: ignore[union-attr]  # a Record, as our selectors yield
                for name in key:
                    if data.get(name) is None:
                        keyless += 1
                        break
                else:
                    count += 1
                    yield record
            if self.parents:
                self.parents.advance(self.name)
            if keyless:
                lacking = "a record" if keyless == 1 else f"{keyless} records"
                raise list_error(
                    f"Confluence returned {lacking} of {self.name} without {' or '.join(key)}, which identifies "
                    "records and their children."
                )
        except AirbyteTracedException as error:
            where = place(stream_slice) if stream_slice else ""
            if where or count:
                error.message = f"{error.message} It came after {count} records{where}."
            raise

    def _read_pages(self, records_generator_fn: Any, stream_slice: StreamSlice) -> Iterable[Any]:
        self._tokens[id(stream_slice)], self._empty[id(stream_slice)] = set(), 0
        try:
            yield from super()._read_pages(records_generator_fn, stream_slice)
        finally:
            del self._tokens[id(stream_slice)], self._empty[id(stream_slice)]

    def _next_page_token(self, **named: Any) -> Any:  # type: ignore[override]  # the CDK passes all by name
        token = super()._next_page_token(**named)
        if token:
            if token["next_page_token"] in NOWHERE:
                raise list_error(
                    "The response has no list of results, or its next-page link leads nowhere: it has no cursor. "
                    "Check domain_name."
                )
            slice_ = id(named["stream_slice"])
            if token["next_page_token"] in self._tokens[slice_]:
                raise list_error(
                    "Confluence's next-page links lead in a circle, so the list would never end."
                )
            self._tokens[slice_].add(token["next_page_token"])
            is_empty = not extracted_record_count(named["response"], named["last_page_size"])
            self._empty[slice_] = self._empty[slice_] + 1 if is_empty else 0
            if self._empty[slice_] >= EMPTY_PAGES:
                raise list_error(
                    f"Confluence returned {EMPTY_PAGES} empty pages in a row and names a next page."
                )
        return token


def place(stream_slice: StreamSlice) -> str:
    """Name a partition for a message: the keys of its spaces, or its values."""
    values = [stream_slice.extra_fields.get("key")]
    if not values[0]:
        values = [value for name, value in stream_slice.partition.items() if name != "parent_slice"]
    parts = [str(part) for value in values for part in (value if isinstance(value, list) else [value])]
    return f" of {', '.join(parts)}" if parts else ""


def list_error(message: str) -> AirbyteTracedException:
    """Return an error that may pass by itself."""
    hint = "Try again later, and tell Atlassian's support if it happens again."
    return AirbyteTracedException(message=f"{message} {hint}", failure_type=FailureType.transient_error)
