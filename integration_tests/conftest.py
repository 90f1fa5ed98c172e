"""The lines that `make live` prints at the end."""

from __future__ import annotations

import pytest

FIELDS = pytest.StashKey[list[str]]()


@pytest.fixture
def fields(pytestconfig: pytest.Config) -> list[str]:
    """Return the list of lines to print about the fields of records."""
    return pytestconfig.stash.setdefault(FIELDS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the lines."""
    if lines := config.stash.get(FIELDS, []):
        terminalreporter.section("fields that differ from the schemas")
        terminalreporter.write_line("\n".join(lines))
