"""Cursors that no date of the future can carry away."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airbyte_cdk.sources.declarative.parsers import model_to_component_factory
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor

if TYPE_CHECKING:
    from airbyte_cdk.sources.types import Record


class PresentCursor(ConcurrentCursor):
    """Move no further than to where the read began.

    A record that is dated years ahead, by an import or a wrong clock, would become the cursor of its list:
    no change would be newer, and none be read again until that day.

    To be deleted when the CDK does not let a cursor go beyond the end of the read.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        self._began = datetime.now(timezone.utc)
        super().__init__(*args, **named)

    def _extract_cursor_value(self, record: Record) -> Any:
        return min(super()._extract_cursor_value(record), self._began)


def install() -> None:
    """Make the CDK build this cursor: it offers no way to name another class."""
    model_to_component_factory.ConcurrentCursor = PresentCursor  # type: ignore[misc]
