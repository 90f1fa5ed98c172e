"""A cache that keeps no broken answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from airbyte_cdk.sources.streams.http.http_client import HttpClient

if TYPE_CHECKING:
    import requests

_request_session = HttpClient._request_session  # noqa: SLF001 - wrapped below


def install() -> None:
    """Make the cache of parent streams pass by what is no JSON to its end.

    The CDK caches every answer of a parent, also one that was cut short: asking again would get the same
    one from the cache. To be deleted when the CDK caches only what its error handler calls a success.
    """
    HttpClient._request_session = _with_filter  # type: ignore[method-assign]  # noqa: SLF001


def _with_filter(self: HttpClient) -> Any:
    session = _request_session(self)
    if hasattr(session, "settings"):  # the sessions that cache
        session.settings.filter_fn = _is_whole
    return session


def _is_whole(answer: requests.Response) -> bool:
    try:
        orjson.loads(answer.content)
    except ValueError:
        return False
    return True
