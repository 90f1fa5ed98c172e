"""Open a database that the other programs have filled; where that is not possible, end with a sentence."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def opened(file: Path, *, new: bool = False, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database.

    Args:
        file: The DuckDB file.
        new: Create it if it does not exist.
        read_only: Only read it.

    Raises:
        SystemExit: It does not exist, cannot be opened, or lacks what a query needs, with DuckDB's own words; or a
            file cannot be written.

    """
    if not new and not file.exists():
        sys.exit(f"There is no {file}: fill it with tools/load.py first.")
    try:
        with duckdb.connect(str(file), read_only=read_only) as connection:
            yield connection
    except OSError as failure:
        sys.exit(f"{failure.filename or 'The output'} cannot be written: {failure.strerror}.")
    except duckdb.Error as failure:
        hint = f"DuckDB {duckdb.__version__} is installed here; a newer one may have written the file."
        sys.exit(
            f"{file} cannot be used: {failure}\n{hint if isinstance(failure, duckdb.IOException) else ''}"
        )
