"""The files that a command of the connector reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def options(directory: Path, **files: Any) -> list[str]:
    """Write the files that a command needs, except those that are None, and return the options that name them."""
    written = []
    for name, content in files.items():
        if content is not None:
            path = directory / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            written += [f"--{name}", str(path)]
    return written
