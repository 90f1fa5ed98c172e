"""Every parameter that requests omit has a decision, based on the official documents."""

from __future__ import annotations

import re
from typing import Any

import pytest

from common.connector import STREAMS
from tools.parameters import Decision, decided, decisions
from unit_tests.openapi import DOCUMENTS, official_parameters, resolved

DECISIONS = decisions()
DECIDED = [(stream, name, entry) for stream in STREAMS for name, entry in decided(STREAMS[stream], DECISIONS)]


@pytest.mark.parametrize("stream", STREAMS)
def test_every_omitted_parameter_has_a_decision(stream: str) -> None:
    undecided = [name for its, name, entry in DECIDED if its == stream and entry is None]
    assert not undecided, f"{stream} does not send these: send them, or add a line to tools/parameters.yaml"


def test_every_decision_is_needed() -> None:
    used = {(id(entry), name) for _, name, entry in DECIDED}
    unused = [
        (name, entry) for entry in DECISIONS for name in entry.parameters if (id(entry), name) not in used
    ]
    assert unused == []
    named = {(name, stream) for stream, name, _ in DECIDED}
    assert all((n, s) in named for entry in DECISIONS for n in entry.parameters for s in entry.streams)


@pytest.mark.parametrize(
    ("stream", "name", "entry"),
    [pytest.param(*each, id=" ".join(each[:2])) for each in DECIDED if each[2]],
)
def test_the_manifest_follows_every_decision(stream: str, name: str, entry: Decision) -> None:
    sent = STREAMS[stream].sent
    assert (name in sent) == bool(entry.send)
    assert set(re.findall(r"\w+", sent.get(name, ""))) == set(entry.send)


@pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the official documents are not beside the repository")
@pytest.mark.parametrize("stream", STREAMS)
def test_defaults_are_those_of_the_official_document(stream: str) -> None:
    for operation in STREAMS[stream].operations:
        for name, declaration in official_parameters(operation).items():
            (entry,) = [e for its, n, e in DECIDED if (its, n) == (stream, name)] or [None]
            if entry:
                words = set(re.findall(r"[\w.]+", entry.default)) - {"and"}
                assert words == default_of(operation.api, declaration), name


def default_of(api: str, declaration: dict[str, Any]) -> set[str]:
    """Return the words of a default: that of the schema, or the marked words where the description states one."""
    default = resolved(api, declaration["schema"]).get("default")
    if default is not None:
        return set(re.findall(r"[\w.]+", str(default).lower()))
    found = re.search(r"default.*?(\n\n|$)", declaration.get("description", ""), re.IGNORECASE | re.DOTALL)
    return set(re.findall(r"`([^`]+)`", found[0])) if found else set()
