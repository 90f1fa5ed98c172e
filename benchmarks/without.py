"""Read like the console script, without some of its components.

    python -m benchmarks.without NAME,NAME read --config …

A process of its own imports this: the memory of the CDK would count as that of a measured process.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

from requests.models import CONTENT_CHUNK_SIZE

from source_confluence import run, source
from source_confluence.components import adapters, cursor, factory, partition_router

METHODS = (
    (cursor.PartitionCursor, "observe"),
    (partition_router.CountingRouter, "get_stream_state"),
)


def _resolve_everything(self: source.SourceConfluence, manifest: dict[str, Any]) -> dict[str, Any]:
    self._manifest = deepcopy(manifest)
    return dict(super(source.SourceConfluence, self)._pre_process_manifest(manifest))


def main() -> None:
    """Remove the names that the command line begins with, and run the rest of it."""
    left_out = set(filter(None, sys.argv.pop(1).split(",")))
    for table in (factory.OURS, factory.FAST):
        for replaced in list(table):
            if replaced.__name__ in left_out:
                left_out.remove(replaced.__name__)
                del table[replaced]
    for ours, name in METHODS:
        if name in left_out:
            left_out.remove(name)
            delattr(ours, name)  # then the CDK's own method is inherited
    if "lean" in left_out:
        left_out.remove("lean")
        factory.lean = lambda component: component
    if "_pre_process_manifest" in left_out:
        left_out.remove("_pre_process_manifest")
        source.SourceConfluence._pre_process_manifest = _resolve_everything  # type: ignore[method-assign]  # noqa: SLF001 - what is measured
    if "PIECE" in left_out:
        left_out.remove("PIECE")
        adapters.PIECE = CONTENT_CHUNK_SIZE
    if left_out:
        sys.exit(f"The connector has no {', '.join(sorted(left_out))} to leave out: adapt the benchmark.")
    run.main()


if __name__ == "__main__":
    main()
