"""Groups of spaces that share the work among the workers, and how many of its parents a stream has read."""

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from threading import Lock
from types import SimpleNamespace
from typing import Any

from airbyte_cdk.sources.declarative.partition_routers import (
    GroupingPartitionRouter,
    SubstreamPartitionRouter,
)
from airbyte_cdk.sources.types import StreamSlice

LOGGER = logging.getLogger("airbyte")
GROUPS = 20  # twice the default number of workers
SIZES = (1, 2, 5, 10)  # few steps: a site that grows seldom changes its groups


class EvenGroupingRouter(GroupingPartitionRouter):
    """Make smaller groups where there are few parents, up to 20 groups.

    A group is one list, whose pages are requested one after another. The CDK makes one group of 20 spaces: a single
    list, which takes twice as long with 50 ms a response (`python -m benchmarks --only spaces-20`).

    Test: `test_incremental.py`, few spaces. Delete it when the CDK can limit the number of groups.
    """

    def stream_slices(self) -> Iterable[StreamSlice]:
        """Yield the CDK's groups, of a size that follows from the number of parents."""
        parents = self.underlying_partition_router
        slices = iter(parents.stream_slices())
        first = list(islice(slices, GROUPS * SIZES[-1] + 1))
        size = min([self.group_size, *(size for size in SIZES if len(first) <= GROUPS * size)])
        read: Any = SimpleNamespace(
            stream_slices=lambda: chain(first, slices), get_stream_state=parents.get_stream_state
        )
        groups = GroupingPartitionRouter(size, read, self.config, self.deduplicate)
        for group in groups.stream_slices():
            self._state = groups.get_stream_state()
            yield group


class CountingRouter(SubstreamPartitionRouter):
    """Say in the log, at most once a minute, how many of its parents a stream has read; read some of them again.

    A request for each of 100,000 pages takes hours, in which the CDK's log says nothing. For each of them the CDK also
    copies the state of all spaces (docs/cdk-proposals.md has what this costs). It changes only when the next group of
    spaces begins.
    """

    listed, read, at_least = 0, 0, "at least "
    _state: Any = None
    again: Iterable[str] = ()  # ids of parents to read although they have not changed; the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._lock, self._due = Lock(), time.monotonic() + 60

    def stream_slices(self) -> Iterable[StreamSlice]:
        """Yield the CDK's slices, one for each parent, and count them."""
        field, left = self.parent_stream_configs[0].partition_field.eval(self.config), set(self.again)  # type: ignore[union-attr]  # interpolated
        group = None
        for slice_ in super().stream_slices():
            self.listed += 1
            if slice_.partition["parent_slice"] != group:
                group, self._state = slice_.partition["parent_slice"], None
            if left:
                left.discard(slice_.partition.get(field))
            yield slice_
        for id_ in left:
            yield StreamSlice(partition={field: id_, "parent_slice": {}}, cursor_slice={})
        self.at_least, self._state = "", None

    def get_stream_state(self) -> Any:
        """Return the state of the parents when their partition began."""
        self._state = self._state or super().get_stream_state()
        return self._state

    def advance(self, stream: str) -> None:
        """Count one more parent as read."""
        with self._lock:
            self.read += 1
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + 60
                done = f"{self.read:,} of {self.at_least}{self.listed:,} records"
                parent = self.parent_stream_configs[0].stream.name
                LOGGER.info("%s has been read for %s of %s.", stream, done, parent)
