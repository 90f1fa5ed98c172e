"""The lines that `make live` prints at the end."""

from __future__ import annotations

import pytest

FIELDS = pytest.StashKey[list[str]]()
AGREEMENT = pytest.StashKey[list[str]]()


@pytest.fixture
def fields(pytestconfig: pytest.Config) -> list[str]:
    """Return the list of lines to print about the fields of records."""
    return pytestconfig.stash.setdefault(FIELDS, [])


@pytest.fixture
def agreement(pytestconfig: pytest.Config) -> list[str]:
    """Return the list of lines to print about who may see a page."""
    return pytestconfig.stash.setdefault(AGREEMENT, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the lines."""
    for key, title in ((FIELDS, "fields that differ from the schemas"), (AGREEMENT, "who may see a page")):
        if lines := config.stash.get(key, []):
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(lines))
