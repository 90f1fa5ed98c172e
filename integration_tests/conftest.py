"""What `make live` prints at its end."""

from __future__ import annotations

import pytest

FIELDS = pytest.StashKey[list[str]]()


@pytest.fixture
def fields(pytestconfig: pytest.Config) -> list[str]:
    """Return the lines that are printed about the fields of records."""
    return pytestconfig.stash.setdefault(FIELDS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print them."""
    if lines := config.stash.get(FIELDS, []):
        terminalreporter.section("fields that differ from the schemas")
        terminalreporter.write_line("\n".join(lines))
