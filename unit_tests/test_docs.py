"""What the documentation tells people to do works as it stands there."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fake_confluence import Server, company
from source_confluence.source import MANIFEST
from tools import builder
from unit_tests.conftest import ROOT, STREAMS, config_for

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.+?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
# Tested elsewhere: make by test_project and test_demo; to install needs a network.
HERE = [line for line in COMMANDS if not line.startswith("make ") and "pip install" not in line]


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory as the README leaves it after the installation."""
    directory = tmp_path_factory.mktemp("newcomer")
    (directory / ".venv").symlink_to(sys.prefix)
    for name in ("integration_tests", "source_confluence"):
        (directory / name).symlink_to(ROOT / name)
    return directory


@pytest.mark.parametrize("command", HERE)
def test_a_command_of_the_readme_does_what_it_says(newcomer: Path, command: str) -> None:
    (shown,) = (json.loads(text) for kind, text in BLOCKS if kind == "json")
    with Server(company()) as site:
        config = config_for(site)
        assert shown.keys() == config.keys()
        (newcomer / "config.json").write_text(json.dumps(config))
        ran = subprocess.run(shlex.split(command), cwd=newcomer, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    expected = {"check": "CONNECTION_STATUS", "discover": "CATALOG", "read": "RECORD"}
    assert expected[shlex.split(command)[1]] in {message["type"] for message in messages}
    named = {message["record"]["stream"] for message in messages if message["type"] == "RECORD"}
    assert named in (set(), STREAMS.keys() - {"custom_content"})


def test_the_readme_has_commands_to_run() -> None:
    assert len(HERE) == 4


# ------------------------------------------------------------------ back from the Connector Builder


def told(exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    file = tmp_path / "exported.yaml"
    file.write_text(json.dumps(exported), encoding="utf-8")  # which is YAML too
    monkeypatch.setattr(sys, "argv", ["builder", str(file)])
    builder.main()
    return list(capsys.readouterr().out.splitlines())


def test_what_was_not_changed_in_the_builder_does_not_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(builder.imported(MANIFEST), tmp_path, monkeypatch, capsys) == ["Nothing differs."]


def test_what_was_changed_in_the_builder_is_told_with_its_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = copy.deepcopy(builder.imported(MANIFEST))
    streams = {stream["name"]: stream for stream in exported["streams"]}
    del streams["tasks"]["retriever"]["requester"]["request_parameters"]["body-format"]
    for name in ("labels", "group"):
        streams[name]["retriever"]["requester"]["http_method"] = "POST"
    exported["streams"].remove(streams["audit"])  # the last, so that no reference to a stream shifts
    exported["streams"].append({**streams["labels"], "name": "label_list"})
    exported["metadata"] = {"testedStreams": {}}
    lines = told(exported, tmp_path, monkeypatch, capsys)
    changes = dict(zip(lines[::2], (line.strip() for line in lines[1::2]), strict=True))
    (removed,) = (change for change in changes if "body-format" in change)
    assert re.fullmatch(r"retriever\S+\.body-format was .+ and is now not set:", removed)
    assert changes == {
        removed: "tasks",
        "retriever.requester.http_method was 'GET' and is now 'POST':": "labels, group",
        "is gone:": "audit",
        "is new:": "label_list",
    }
