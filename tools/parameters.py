"""Which parameters the streams leave out of their requests, and why: parameters.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.streams import Stream

_FILE = Path(__file__).with_name("parameters.yaml")


@dataclass(frozen=True)
class Decision:
    """One entry of parameters.yaml, which says what its parts are."""

    parameters: list[str]
    why: str
    streams: list[str] = field(default_factory=list)
    default: str = ""
    send: list[str] = field(default_factory=list)


def decisions() -> list[Decision]:
    """Return the entries in their order."""
    return [Decision(**entry) for entry in yaml.safe_load(_FILE.read_text(encoding="utf-8"))]


def decided(stream: Stream, found: list[Decision]) -> Iterator[tuple[str, Decision | None]]:
    """Yield each parameter that a stream leaves out or that is decided for it, with the entry for it."""
    declared = {name for operation in stream.operations for name in operation.parameters}
    for name in sorted(declared):
        entries = [entry for entry in found if name in entry.parameters]
        own = next((entry for entry in entries if stream.name in entry.streams), None)
        general = next((entry for entry in entries if not entry.streams), None)
        if own or name not in stream.sent:
            yield name, own or general


def parameter_table() -> str:
    """Return the decisions in Markdown."""
    head = ("Parameter", "Streams", "Without it", "Sent", "Why")
    rows = [head, ("---",) * len(head)]
    rows += [
        (
            names(entry.parameters),
            names(entry.streams) or "all others that can send it",
            entry.default or "not documented",
            names(entry.send) or "no",
            entry.why,
        )
        for entry in decisions()
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def names(found: list[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in found)
