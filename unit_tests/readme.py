"""The commands of README.md, and a directory in which to run them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.connector import ROOT, config_for
from unit_tests.runners import ALONE

if TYPE_CHECKING:
    from fake_confluence import Server

README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"^```(\w+)\n(.+?)^```$", README, re.DOTALL | re.MULTILINE)


# test_project and test_demo test the make targets.
SHELL = [text for kind, text in BLOCKS if kind == "sh" and not text.startswith("make ")]


def arrive(directory: Path, environment: Path, site: Server) -> None:
    """Prepare a directory as the README assumes it before its commands."""
    (directory / ".venv").symlink_to(environment)
    (directory / "source_confluence").symlink_to(ROOT / "source_confluence")
    (directory / "secrets").mkdir()
    (shown,) = (json.loads(text) for kind, text in BLOCKS if kind == "json")
    assert shown.keys() == config_for(site).keys()
    (directory / "secrets" / "config.json").write_text(json.dumps(config_for(site)))


def run(command: list[str], directory: Path) -> str:
    ran = subprocess.run(command, cwd=directory, env=ALONE, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def messages(file: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for message in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        found.setdefault(message["type"], []).append(message)
    return found
