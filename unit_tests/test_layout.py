"""Imports between folders: dependencies run one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from common.connector import ROOT

# The other folders that the modules of a folder may import.
BELOW = {
    "source_confluence": set[str](),
    "fake_confluence": set(),
    "common": {"source_confluence", "fake_confluence"},
    "benchmarks": {"source_confluence", "fake_confluence", "common"},
    "tools": {"source_confluence", "fake_confluence", "common"},
    "integration_tests": {"source_confluence", "common", "tools"},
    # Tests also import tools and benchmarks, to test them.
    "unit_tests": {"source_confluence", "fake_confluence", "common", "benchmarks", "tools"},
}
MODULES = sorted(path.relative_to(ROOT) for folder in BELOW for path in (ROOT / folder).rglob("*.py"))


def imports(text: str) -> set[str]:
    """Return the modules that a Python text imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def forbidden(folder: str, found: set[str]) -> set[str]:
    """Return the imports that the layout forbids: of other folders, and of other test modules."""
    ours = {name for name in found if name.partition(".")[0] in BELOW}
    upwards = {name for name in ours if name.partition(".")[0] not in {folder, *BELOW[folder]}}
    return upwards | {name for name in ours if ".test_" in name or ".conftest" in name}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_lower_layers(module: Path) -> None:
    assert forbidden(module.parts[0], imports((ROOT / module).read_text(encoding="utf-8"))) == set()


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("tools", "from unit_tests.conftest import server"),
        ("tools", "def late():\n    import benchmarks.runner"),
        ("common", "from tools import load"),
        ("fake_confluence", "from common.streams import streams"),
        ("source_confluence", "import fake_confluence"),
        ("unit_tests", "from unit_tests.test_auth import WAYS"),
        ("unit_tests", "from unit_tests import test_docs"),
        ("integration_tests", "from unit_tests.clock import Clock"),
    ],
)
def test_a_forbidden_import_is_found(folder: str, text: str) -> None:
    assert forbidden(folder, imports(text)) != set()
