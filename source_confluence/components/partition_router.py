"""Groups of spaces that share the work among the workers."""

from collections.abc import Iterable
from itertools import chain, islice
from types import SimpleNamespace
from typing import Any

from airbyte_cdk.sources.declarative.partition_routers import GroupingPartitionRouter
from airbyte_cdk.sources.types import StreamSlice

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
        groups = GroupingPartitionRouter(size, read, self.config)
        for group in groups.stream_slices():
            self._state = groups.get_stream_state()
            yield group
