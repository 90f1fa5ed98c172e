"""A cursor for each group of spaces, where the CDK has one for all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airbyte_cdk.sources.declarative.incremental import concurrent_partition_cursor
from airbyte_cdk.sources.declarative.parsers import model_to_component_factory
from airbyte_cdk.sources.declarative.partition_routers import (
    CartesianProductStreamSlicer,
    GroupingPartitionRouter,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from airbyte_cdk.sources.types import StreamSlice

EMIT_EVERY_SECONDS = 30


class SpaceGroupCursor(concurrent_partition_cursor.ConcurrentPerPartitionCursor):
    """Keep apart what is known of each group of spaces.

    The CDK gives all partitions of a `GroupingPartitionRouter` one cursor, because groups change: a space
    more, and every later group has other members. Pages of a space that becomes visible late are then older
    than the cursor and never read, nothing is kept of a read that was killed, and the cursor is built anew
    for every record. Here each group has its own; what a group of other members may start from is the oldest
    cursor among its spaces, and nothing when one of them is new.

    To be deleted when the CDK lets a manifest choose per-partition state for grouped partitions.
    """

    def _set_initial_state(self, stream_state: Mapping[str, Any]) -> None:
        super()._set_initial_state(stream_state)
        self._is_grouped = isinstance(
            self._partition_router, (GroupingPartitionRouter, CartesianProductStreamSlicer)
        )
        self._cursor_of_space: dict[Hashable, str] = {}
        self._seen_groups: set[str] = set()
        if not self._is_grouped:
            return
        self._use_global_cursor = False
        for state in (stream_state or {}).get("states", []):
            cursor = state["cursor"][self.cursor_field.cursor_field_key]
            for space in _spaces(state["partition"]):
                self._cursor_of_space[space] = max(cursor, self._cursor_of_space.get(space, cursor))
        if self._cursor_of_space:
            self._global_cursor = {}  # from which groups without a state of their own would start

    def _generate_slices_from_partition(
        self, partition: StreamSlice, parent_state: Mapping[str, Any]
    ) -> Iterable[StreamSlice]:
        if self._is_grouped:
            group = self._to_partition_key(partition.partition)
            self._seen_groups.add(group)
            known = [self._cursor_of_space.get(space) for space in _spaces(partition.partition)]
            oldest = min((cursor for cursor in known if cursor), default=None)
            if group not in self._cursor_per_partition and oldest and all(known):
                state = {self.cursor_field.cursor_field_key: oldest}
                self._cursor_per_partition[group] = self._create_cursor(state)
        yield from super()._generate_slices_from_partition(partition, parent_state)

    def ensure_at_least_one_state_emitted(self) -> None:
        """Emit the last state, without the groups that are no more."""
        if self._is_grouped and not any(s._value for s in self._semaphore_per_partition.values()):  # noqa: SLF001 - as the CDK asks
            for group in [group for group in self._cursor_per_partition if group not in self._seen_groups]:
                del self._cursor_per_partition[group]
        super().ensure_at_least_one_state_emitted()

    def _throttle_state_message(self) -> float | None:
        """Let a state pass every half minute: the CDK's ten minutes are what a killed read repeats."""
        now = time.time()
        return now if now - self._last_emission_time > EMIT_EVERY_SECONDS else None


def install() -> None:
    """Make the CDK build this cursor: it offers no way to name another class."""
    model_to_component_factory.ConcurrentPerPartitionCursor = SpaceGroupCursor  # type: ignore[misc]


def _spaces(partition: Mapping[str, Any]) -> Iterator[Hashable]:
    """Yield the members of a group, each with its field and what the partition names besides (a type)."""
    fields = {field: value for field, value in partition.items() if field != "parent_slice"}
    besides = tuple(sorted((field, value) for field, value in fields.items() if isinstance(value, str)))
    for field, members in fields.items():
        if not isinstance(members, str):
            yield from ((besides, field, member) for member in members)
