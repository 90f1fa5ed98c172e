"""Random sequences of changes and syncs: the warehouse deletes and loses nothing that exists, and equals the site.

.venv/bin/python -m pytest unit_tests/test_sequences.py -k a_random_sequence --sequences 500
"""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tools import recipes
from unit_tests import few_streams
from unit_tests.model import play, sequence

if TYPE_CHECKING:
    from pathlib import Path


# Together these find all the faults below.
CHOSEN = (0, 2, 5, 9)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("sequences")
        metafunc.parametrize("seed", range(count) if count else CHOSEN)


def test_a_random_sequence_deletes_and_loses_nothing_that_exists(seed: int) -> None:
    play(sequence(seed))


def play_often(seed: int) -> None:
    """Play one sequence: what happens during a sync depends on which thread is faster."""
    assert seed in CHOSEN
    for _ in range(30):
        play(sequence(seed))


# Faults of the recipes, and what then goes wrong: which recipe, what to replace, with what; the error; the sequence.
FAULTS = {
    "absence in one read is enough": (
        ("deletions", "since < finished AS absent_twice", "TRUE AS absent_twice"),
        "exists and is",
        9,
    ),
    "one read counts twice": (
        ("deletions", "since < finished AS absent_twice", "since <= finished AS absent_twice"),
        "exists and is",
        9,
    ),
    "a deleted page keeps its status": (
        ("apply_deletions", "SET status = d.now", "SET status = pages.status"),
        "pages",
        0,
    ),
    "a page keeps the status of its last edit": (("apply_deletions", "status = i.status, ", ""), "pages", 0),
    "a page keeps the space of its last edit": (("apply_deletions", ", spaceId = i.spaceId", ""), "pages", 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_random_sequences_find_a_fault_in_the_recipes(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, old, new), message, seed = FAULTS[fault]
    folder = shutil.copytree(recipes.FOLDER, tmp_path / "recipes")
    text = (folder / f"{name}.sql").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / f"{name}.sql").write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(recipes, "FOLDER", folder)
    with pytest.raises(AssertionError, match=message):
        play_often(seed)


def test_random_sequences_find_an_index_that_is_read_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_of = few_streams.manifest_of

    def newest_first(*given: Any) -> dict[str, Any]:
        manifest = copy.deepcopy(manifest_of(*given))
        for stream in manifest["streams"]:
            if stream["name"].endswith("_index"):
                stream["retriever"]["requester"]["request_parameters"]["sort"] = "-modified-date"
        return manifest

    monkeypatch.setattr(few_streams, "manifest_of", newest_first)
    with pytest.raises(AssertionError, match="_index lacks"):
        play_often(5)
