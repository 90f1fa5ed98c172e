"""On what was measured."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from benchmarks.readers import PEERS


def machine() -> str:
    """Describe this machine and the versions of what runs on it, without naming it."""
    model = re.search(r"model name\s*: (.*)", _text("/proc/cpuinfo"))
    total = re.search(r"MemTotal:\s*(\d+) kB", _text("/proc/meminfo"))
    parts = [f"{os.cpu_count()} cores{f' ({model[1]})' if model else ''}"]
    if total:
        parts.append(f"{int(total[1]) / 2**20:.0f} GB of memory")
    parts += [platform.system(), f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("airbyte-cdk", "requests", "orjson")]
    for file, name in (("dlt.txt", "dlt"), ("llamaindex.txt", "llama-index-readers-confluence")):
        pinned = re.search(rf"^{name}==(.*)$", (PEERS / file).read_text(encoding="utf-8"), re.MULTILINE)
        parts.append(f"{name} {pinned[1] if pinned else 'not pinned'}")
    return ", ".join(parts)


def _text(path: str) -> str:
    """Return what a file of the kernel says; nothing where there is no such file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
