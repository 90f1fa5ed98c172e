"""Records that have their key, or a stream that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.stream_slicers import declarative_partition_generator
from airbyte_cdk.utils import AirbyteTracedException

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airbyte_cdk.sources.types import Record

_Partition = declarative_partition_generator.DeclarativePartition
_read = _Partition.read


def install() -> None:
    """Fail a stream after a record that lacks its key.

    The CDK passes over a parent that lacks it, and over all its children, without a word; a destination
    that removes duplicates keeps one of all that lack it. To be deleted when the CDK fails there.
    """
    _Partition.read = _with_keys  # type: ignore[method-assign]


def _with_keys(self: _Partition) -> Iterable[Record]:
    key = getattr(self._retriever, "primary_key", None) or []
    keyless = 0
    for record in _read(self):
        data = record.data
        for name in key:
            if data.get(name) is None:
                keyless += 1
                break
        yield record
    if keyless:
        lacking = "a record" if keyless == 1 else f"{keyless} records"
        raise AirbyteTracedException(
            message=f"Confluence gave {lacking} of {self.stream_name()} without {' or '.join(key)}, by which "
            "records and their children are told apart. Tell Atlassian's support if it stays so.",
            failure_type=FailureType.transient_error,
        )
