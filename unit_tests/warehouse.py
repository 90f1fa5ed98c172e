"""A DuckDB warehouse that is filled as tools/load.py fills it, by reads in this process."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import Output, discovered, run_args
from fake_confluence import generate
from tools import deletions, load
from tools.recipes import create_views
from unit_tests.few_streams import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fake_confluence import Server, Site


def small(**more: Any) -> Site:
    """Return a site of current pages, ten in each space."""
    site = generate(
        **{"pages": 60, "spaces": 6, "blog_posts": 60, "versions_per_page": 1, "body_bytes": 10, **more}
    )
    for page in site.records("pages"):
        page["status"] = "current"
    return site


@contextmanager
def without_processes() -> Iterator[None]:
    """Let tools/load.py run the connector in this process: each process takes two seconds to start."""

    def run(command: str, *arguments: str | Path, files: None = None) -> Iterator[dict[str, Any]]:
        assert files is None
        output = run_args([command, *map(str, arguments)])
        yield from output.messages
        if output.exit_code:
            raise subprocess.CalledProcessError(output.exit_code, command, stderr=output.stderr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "run", run)
        yield


class Warehouse:
    """The tables of some streams of a site.

    Attributes:
        merged: The state with which the first sync begins.
    """

    merged: Sequence[dict[str, Any]] = ()

    def __init__(self, server: Server, *streams: str, **config: Any) -> None:
        self.server, self.streams, self.config = server, streams, config
        self.connection, self.known = duckdb.connect(config={"threads": 1}), set[str]()
        self.connection.execute(load.SYNCS)

    def sync(self, *streams: str, full: bool = False, share: float = 1.0, **config: Any) -> Output:
        """Read what changed.

        Args:
            *streams: The streams to read; all if none is named.
            full: Read from the beginning.
            share: How much of the output arrives; the rest is lost, as when the connector is killed.
            **config: More of the configuration.

        """
        with self.one_sync(*streams, full=full, **config) as read:
            return read(*streams or self.streams, share=share)

    @contextmanager
    def one_sync(self, *streams: str, full: bool = False, **config: Any) -> Iterator[Callable[..., Output]]:
        """Yield a function that reads some streams: between its calls, the site can change during the sync."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory()))
            files = {
                name: stack.enter_context((directory / name).open("w", encoding="utf-8"))
                for name in streams or self.streams
            }
            stored = {name: load.Stream(discovered(name), file) for name, file in files.items()}
            settings = {**self.config, **config}
            began = load.resume(self.connection, stored, settings, full=full, merged=self.merged)
            self.merged = ()
            state = [stream.state for stream in stored.values() if stream.state]

            def read(*names: str, share: float = 1.0, **more: Any) -> Output:
                output = sync(self.server, *names, state=state, **{**settings, **more})
                for message in output.messages[: round(len(output.messages) * share)]:
                    load.take(message, stored, lambda *_: None)
                return output

            yield read
            load.store(self.connection, stored, began, settings)
        if not self.known >= set(stored):
            create_views(self.connection)
            self.known |= set(stored)

    def copy(self, server: Server) -> Warehouse:
        """Return a copy for a server of the same site; the next copy removes it."""
        found = Warehouse(server, *self.streams, **self.config)
        self.connection.execute("DETACH DATABASE IF EXISTS copy")
        self.connection.execute("ATTACH ':memory:' AS copy; COPY FROM DATABASE memory TO copy")
        found.connection = self.connection.cursor()
        found.connection.execute("USE copy")
        create_views(found.connection)
        found.known = self.known
        return found

    def apply(self) -> None:
        deletions.apply(self.connection)

    def erase(self) -> None:
        deletions.erase(self.connection, days=0)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def ids(self, source: str) -> set[str]:
        return {row[0] for row in self.rows(f"SELECT id FROM {source}")}

    def now(self, view: str = "deletions") -> dict[str, str]:
        """Return what became of each page, unless it is current."""
        return dict(self.rows(f"SELECT id, now FROM {view} WHERE now <> 'current'"))
