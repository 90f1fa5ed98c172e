"""Cursors that look at no more records than they must, and one cursor for each group of spaces."""

import re
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from airbyte_cdk.sources.declarative.incremental.concurrent_partition_cursor import (
    ConcurrentPerPartitionCursor,
)
from airbyte_cdk.sources.declarative.partition_routers import (
    CartesianProductStreamSlicer,
    GroupingPartitionRouter,
    ListPartitionRouter,
)
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from airbyte_cdk.sources.types import Record, StreamSlice

EMIT_EVERY_SECONDS = 30
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


class PartitionCursor(ConcurrentPerPartitionCursor):
    """A cursor for each partition that keeps the ids of cut files, and observes only the newest of its records.

    For each record that it observes, the CDK parses the timestamp twice and serializes the partition three times.
    Beside a global cursor it keeps those of 25,000 partitions, which nothing uses, and then lists them for each
    partition. docs/cdk-proposals.md has what this costs. Delete it when the CDK does less.
    """

    _newest: dict[int, tuple[str, Record]]  # by the slice that is being read: its newest timestamp and record
    cut: set[str]  # ids of files that the next sync tries again; the factory sets it
    is_sparing = True

    @classmethod
    def like(cls, cursor: ConcurrentPerPartitionCursor, state: Mapping[str, Any]) -> "PartitionCursor":
        """Return a cursor of this class for one that the CDK's factory built."""
        ours = cls.__new__(cls)
        vars(ours).update(vars(cursor), _newest={})
        ours.continue_from(state)
        return ours

    def continue_from(self, state: Mapping[str, Any]) -> None:
        """Complete what the CDK has taken from a state."""

    @property
    def state(self) -> MutableMapping[str, Any]:
        cut = list(self.cut)  # at once: other threads add to it
        return {**super().state, "cut": sorted(cut)} if cut else super().state

    def observe(self, record: Record) -> None:
        timestamp = record.data.get(self.cursor_field.cursor_field_key)
        if not self.is_sparing or not isinstance(timestamp, str) or not TIMESTAMP.fullmatch(timestamp):
            super().observe(record)
            return
        key = id(record.associated_slice)
        if timestamp > self._newest.get(key, ("", record))[0]:
            self._newest[key] = (timestamp, record)

    def close_partition(self, partition: Partition) -> None:
        slice_: Any = partition.to_slice()
        if newest := self._newest.pop(id(slice_), None):
            super().observe(newest[1])
        super().close_partition(partition)
        if self._use_global_cursor:
            with self._lock:
                self._cursor_per_partition.pop(self._to_partition_key(slice_.partition), None)


class SpaceGroupCursor(PartitionCursor):
    """A cursor for each group of spaces, and for each choice of spaces.

    The CDK has one cursor for all partitions of a `GroupingPartitionRouter`, because groups change: one more
    space, and every later group has other members. Pages of a space that becomes visible later are then older
    than the cursor and never read, and the state of a read that was killed is lost. Here each group has its own
    cursor. A group with other members starts from the oldest cursor of its spaces, or from the beginning when
    one of them is new.

    Test: `test_incremental.py`. Delete it when the CDK lets a manifest choose per-partition state for groups.
    """

    _are_listed = False  # until then, a group that was not seen can still be there

    def continue_from(self, state: Mapping[str, Any]) -> None:
        self._use_global_cursor = False
        self._cursor_of_space: dict[tuple[Hashable, Hashable], str] = {}
        self._seen_groups: set[str] = set()
        for each in state.get("states", []):
            cursor = each["cursor"][self.cursor_field.cursor_field_key]
            for space in _spaces(each["partition"]):
                self._cursor_of_space[space] = max(cursor, self._cursor_of_space.get(space, cursor))
        if state.get("states"):
            self._global_cursor = {}  # from which groups without a state of their own would start

    def stream_slices(self) -> Iterable[StreamSlice]:
        yield from super().stream_slices()
        self._are_listed = True

    def _generate_slices_from_partition(
        self, partition: StreamSlice, parent_state: Mapping[str, Any]
    ) -> Iterable[StreamSlice]:
        group = self._to_partition_key(partition.partition)
        self._seen_groups.add(group)
        spaces, cursors = _spaces(partition.partition), self._cursor_of_space
        known = [cursors.get(space) for space in spaces]
        oldest = min((cursor for cursor in known if cursor), default=None)
        if group not in self._cursor_per_partition and oldest and all(known):
            cursor = self._create_cursor({self.cursor_field.cursor_field_key: oldest})
            with self._lock:  # other threads write the state of all groups
                self._cursor_per_partition[group] = cursor
        yield from super()._generate_slices_from_partition(partition, parent_state)

    def ensure_at_least_one_state_emitted(self) -> None:
        if self._are_listed and not self._processing_partitions_indexes:  # all groups are known, and read
            for group in [group for group in self._cursor_per_partition if group not in self._seen_groups]:
                del self._cursor_per_partition[group]
        super().ensure_at_least_one_state_emitted()

    def _throttle_state_message(self) -> float | None:
        now = time.time()  # after a killed read, what followed its last state is read again
        return now if now - self._last_emission_time > EMIT_EVERY_SECONDS else None


def is_grouped(router: Any) -> bool:
    """Tell whether a partition of this router is a group of spaces, or stands for the chosen spaces."""
    return isinstance(router, (GroupingPartitionRouter, CartesianProductStreamSlicer, ListPartitionRouter))


def _spaces(partition: Mapping[str, Any]) -> Iterator[tuple[Hashable, Hashable]]:
    """Yield the members of a group, None for the whole site, each with the other values of the partition (a type)."""
    fields = {field: value for field, value in partition.items() if field != "parent_slice"}
    others = tuple(sorted((field, value) for field, value in fields.items() if isinstance(value, str)))
    for field, members in fields.items():
        if not isinstance(members, str):
            yield from ((others, member if field == "spaceId" else None) for member in members)
