"""Retrieve a whole list, or fail."""

from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils import AirbyteTracedException


class WholeListRetriever(SimpleRetriever):
    """Fail a partition whose list never ends, or that contains a record without its primary key.

    The CDK follows next-page links that lead in a circle forever (airbytehq/airbyte-python-cdk issue 1148). It
    skips a parent without its id, and all its children, without a word; and a destination that removes
    duplicates keeps one of all records without a key.

    Tests: `test_faults.py`, "next: a circle of two"; `test_hostile_records.py`, "no id". Delete it when the CDK
    fails in both cases.
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._tokens: dict[int, set[Any]] = {}  # the tokens so far, by the slice that is being read

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[Any]:
        """Yield the records that have their key; then fail if some have not."""
        key: Any = self.primary_key
        keyless = 0
        for record in super().read_records(records_schema, stream_slice):
            data = record.data  # type: ignore[union-attr]  # a Record, as our selectors yield
            for name in key:
                if data.get(name) is None:
                    keyless += 1
                    break
            else:
                yield record
        if keyless:
            lacking = "a record" if keyless == 1 else f"{keyless} records"
            raise list_error(
                f"Confluence returned {lacking} of {self.name} without {' or '.join(key)}, which identifies "
                "records and their children."
            )

    def _read_pages(self, records_generator_fn: Any, stream_slice: StreamSlice) -> Iterable[Any]:
        self._tokens[id(stream_slice)] = set()
        try:
            yield from super()._read_pages(records_generator_fn, stream_slice)
        finally:
            del self._tokens[id(stream_slice)]

    def _next_page_token(self, **named: Any) -> Any:  # type: ignore[override]  # the CDK passes all by name
        token = super()._next_page_token(**named)
        tokens = self._tokens[id(named["stream_slice"])]
        if token and token["next_page_token"] in tokens:
            raise list_error("Confluence's next-page links lead in a circle, so the list would never end.")
        tokens.update(token.values() if token else ())
        return token


def list_error(message: str) -> AirbyteTracedException:
    """Return an error that may pass by itself."""
    hint = "Try again later, and tell Atlassian's support if it happens again."
    return AirbyteTracedException(message=f"{message} {hint}", failure_type=FailureType.transient_error)
