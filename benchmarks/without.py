"""Read like the console script, without some of its components.

    python -m benchmarks.without NAME,NAME read --config …

A process of its own imports this: the memory of the CDK would count as that of a measured process.
"""

from __future__ import annotations

import sys

from requests.models import CONTENT_CHUNK_SIZE

from source_confluence import run, source
from source_confluence.components import adapters, cursor, factory


def main() -> None:
    """Remove the names that the command line begins with, and run the rest of it."""
    left_out = set(filter(None, sys.argv.pop(1).split(",")))
    for replaced in list(factory.OURS):
        if replaced.__name__ in left_out:
            left_out.remove(replaced.__name__)
            del factory.OURS[replaced]
    for owner in (cursor.PartitionCursor, source.SourceConfluence):
        for name in left_out & set(vars(owner)):
            left_out.remove(name)
            delattr(owner, name)  # then the CDK's own method is inherited
    if "PIECE" in left_out:
        left_out.remove("PIECE")
        adapters.PIECE = CONTENT_CHUNK_SIZE
    if left_out:
        sys.exit(f"The connector has no {', '.join(sorted(left_out))} to leave out: adapt the benchmark.")
    run.main()


if __name__ == "__main__":
    main()
