"""A PostgreSQL server of the tests.

pytest-postgresql 10.0.0 could replace only `running`: it needs Python 3.11, and fails as root, as in a container.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Postgres:
    """A database of a PostgreSQL server on this machine."""

    programs: Path
    port: int
    name: str = "postgres"

    def execute(self, query: str) -> list[Any]:
        """Return the result of a query: objects if it selects rows as JSON, text otherwise."""
        lines = self._psql("-c", query).splitlines()
        return [json.loads(line) if line[0] in "{[" else line for line in lines]

    def script(self, statements: str) -> None:
        """Execute statements that are too long for a command line."""
        self._psql("-f", "-", given=statements)

    def _psql(self, *how: str, given: str | None = None) -> str:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "confluence", self.name]
        command = [str(self.programs / "psql"), *address, "-XqAt", "-v", "ON_ERROR_STOP=1", *how]
        ran = subprocess.run(command, input=given, capture_output=True, check=False, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        return [plain(row) for row in self.execute(f"SELECT row_to_json(t) FROM ({query}) t")]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with lower-case names and timestamps as numbers: both databases then agree."""
    return {name.lower(): at_utc(value) for name, value in row.items() if not name.startswith("_airbyte")}


def at_utc(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*", value):
        moment = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", value.replace("Z", "+00:00")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    return value


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server with a folder of its own, as an ordinary user: PostgreSQL refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    programs = found[-1].resolve().parent
    if not (programs / "initdb").exists():
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        make: list[Any] = [programs / "initdb", "-D", data, "--no-sync"]
        make += ["-A", "trust", "-U", "confluence", "-E", "UTF8"]
        control: list[Any] = [programs / "pg_ctl", "-D", data, "-w", "-t", "600", "-l", folder / "log"]
        quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, **user}
        subprocess.run(make, check=True, **quiet)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -F"
        subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
        yield Postgres(programs, port)
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
    finally:
        shutil.rmtree(folder)
