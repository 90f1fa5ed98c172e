"""A guard against lists without end, and against links that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.paginators.strategies import cursor_pagination_strategy
from airbyte_cdk.utils import AirbyteTracedException

if TYPE_CHECKING:
    from requests import Response

_Strategy = cursor_pagination_strategy.CursorPaginationStrategy
_next_page_token = _Strategy.next_page_token

# What the manifest sends where a link has no place in it, so that Confluence refuses: see next_cursor.
NOWHERE = {"no cursor in the next link", "no start in the next link"}
# The tokens that one chain of pages has had, by the slice that the chain reads.
_seen: dict[int, set[Any]] = {}


def install() -> None:
    """Make every chain of pages end, or fail, where its links lead in a circle.

    The CDK follows them for ever (airbytehq/airbyte-python-cdk issue 1148), and YAML cannot see the tokens
    of earlier pages. To be deleted when the CDK has a guard of its own.
    """
    _Strategy.next_page_token = _guarded  # type: ignore[method-assign]


def _guarded(  # noqa: PLR0913, PLR0917 - the signature that it replaces
    self: _Strategy,
    response: Response,
    last_page_size: int,
    last_record: Any,
    last_page_token_value: Any = None,
    page_size_override: int | None = None,
    stream_slice: Any = None,
) -> Any:
    """Return the next token like the CDK.

    Raises:
        AirbyteTracedException: The token was used in this chain before, or the link has none.
    """
    token = _next_page_token(
        self,
        response,
        last_page_size,
        last_record,
        last_page_token_value,
        page_size_override,
        stream_slice,
    )
    if token in NOWHERE:
        raise AirbyteTracedException(
            message="Confluence's link to the next page leads nowhere, so the rest of the list cannot be "
            "asked for. Try again later, and tell Atlassian's support if it stays so.",
            failure_type=FailureType.transient_error,
        )
    seen = _seen.setdefault(id(stream_slice), set())
    if last_page_token_value is None:
        seen.clear()  # a new chain; an earlier one at the same address was given up
    if token in seen:
        raise AirbyteTracedException(
            message="Confluence's links to the next page lead in a circle, so the list would never end. Try "
            "again later, and tell Atlassian's support if it stays so.",
            failure_type=FailureType.transient_error,
        )
    if token is None:
        del _seen[id(stream_slice)]
    else:
        seen.add(token)
    return token
