"""Airbyte's own checks of a connector, which its registry requires: airbyte-internal-ops, in its own environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from common.connector import ROOT

PYTHON = ROOT / ".venv-qa" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 13), reason="airbyte-internal-ops needs Python 3.11 or 3.12"
)
# Where plain http is right: a credential never crosses a network by it.
PLAIN_HTTP = {
    "The site that runs on this machine": {
        *("CONTRIBUTING.md", "Makefile", "docs/builder.md", "fake_confluence/server.py", "tools/golden.py"),
    },
    "The connector accepts it for this machine alone, and tells of a redirect to it": {
        *("docs/index.md", "source_confluence/spec.yaml", "source_confluence/manifest.yaml"),
        *("source_confluence/components/file_uploader.py", "source_confluence/components/requester.py"),
    },
    "The address of a proxy": {"docs/network.md", "source_confluence/messages.yaml"},
}
# Checks that fail: a part of the message, and why it is right.
EXCEPTIONS = {
    "ValidateMetadata": ("python-connector-base:4.1.0 is not in the format", "the digest is on another host"),
    "CheckConnectorUsesPoetry": ("poetry.lock", "constraints.txt pins; pip and uv read it"),
    "CheckConnectorLicenseMatchInPyproject": ("license", "it is in [project], the standard table"),
    "CheckConnectorVersionMatchInPyproject": ("Version", "it is in [project]; another test compares it"),
    "CheckConnectorUsesPythonBaseImage": (
        "Dockerfile",
        "it builds without Airbyte's tools, on the same base",
    ),
    "CheckConnectorUsesHTTPSOnly": ("http://", "see PLAIN_HTTP"),
}


class Result(NamedTuple):
    """The result of one check."""

    status: str
    message: str


def check(*monorepos: Path) -> list[dict[str, Result]]:
    quiet = {**os.environ, "DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"}
    command = [PYTHON, ROOT / "unit_tests" / "check_for_registry.py", *monorepos]
    ran = subprocess.run([*map(str, command)], env=quiet, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return [
        {name: Result(status, message) for name, status, message in results}
        for results in map(json.loads, ran.stdout.splitlines())
    ]


def lay_out(root: Path) -> Path:
    """Lay our files out as in Airbyte's monorepo: those that git knows, or would if they were added."""
    connector = root / "airbyte-integrations" / "connectors" / "source-confluence"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (connector / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, connector / name)
    pages = root / "docs" / "integrations" / "sources"
    pages.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "index.md", pages / "confluence.md")
    shutil.copy(ROOT / "docs" / "migrations.md", pages / "confluence-migrations.md")
    return root


def plant_faults(monorepo: Path) -> None:
    pages, connector = monorepo / "docs/integrations/sources", monorepo / "airbyte-integrations/connectors"
    for file, before, after in (
        (connector / "source-confluence/metadata.yaml", "deadlineAction: disable", "# none"),
        (connector / "source-confluence/metadata.yaml", "- language:python", "- python"),
        (pages / "confluence-migrations.md", "## Upgrading to 2.0.0", "## Upgrading"),
        (pages / "confluence.md", "| 2.0.0 |", "| |"),
    ):
        text = file.read_text(encoding="utf-8")
        assert before in text
        file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    """Check our files, and a copy with faults."""
    ours, faulty = (lay_out(tmp_path_factory.mktemp(name)) for name in ("ours", "faulty"))
    plant_faults(faulty)
    return check(ours, faulty)


def failures(results: dict[str, Result]) -> dict[str, str]:
    return {name: result.message for name, result in results.items() if result.status == "FAILED"}


def test_airbytes_checks_pass_with_known_exceptions(results: list[dict[str, Result]]) -> None:
    ours, _ = results
    failed = failures(ours)
    assert failed.keys() == EXCEPTIONS.keys()
    assert [name for name, message in failed.items() if EXCEPTIONS[name][0] not in message] == []
    plain = set(re.findall(r"source-confluence/(\S+)", failed["CheckConnectorUsesHTTPSOnly"]))
    assert plain == set().union(*PLAIN_HTTP.values())
    passed = {name for name, result in ours.items() if result.status == "PASSED"}
    assert {"CheckMigrationGuide", "CheckChangelogEntry", "ValidateBreakingChangesDeadlineAction"} <= passed


def test_airbytes_checks_find_our_faults(results: list[dict[str, Result]]) -> None:
    _, faulty = results
    assert failures(faulty).keys() - EXCEPTIONS.keys() == {
        *(
            "ValidateBreakingChangesDeadlineAction",
            "CheckConnectorLanguageTag",
            "metadata, without Docker Hub",
        ),
        *("CheckMigrationGuide", "CheckChangelogEntry"),
    }
