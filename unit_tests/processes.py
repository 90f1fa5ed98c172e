"""The console script as a process."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from common.connector import CONNECTOR, config_for, configured
from common.files import options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_confluence import Server

LONG = 600  # seconds; a process that does not hang ends earlier


def arguments(directory: Path, server: Server, *streams: str, **config: Any) -> list[str]:
    """Write the files of a read, and return its command line."""
    catalog = {"streams": [configured(name, incremental=True) for name in streams]}
    return [str(CONNECTOR), "read", *options(directory, config=config_for(server, **config), catalog=catalog)]


@contextmanager
def started(args: list[str], **how: Any) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Start a process, and kill it at the end of the test."""
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as process:
        try:
            assert process.stdout
            yield process, process.stdout
        finally:
            process.kill()
