"""A cache that keeps no broken answer, and is done without where the disk is full."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import contextmanager, suppress
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from airbyte_cdk.sources.streams.http.http_client import HttpClient
from requests_cache import CacheMixin
from requests_cache.backends.sqlite import SQLiteDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Returned = TypeVar("Returned")

_request_session = HttpClient._request_session  # noqa: SLF001 - wrapped below


def install() -> None:
    """Make the cache of parent streams pass by what is no JSON to its end, and what it has no room for.

    The CDK caches every answer of a parent, also one that was cut short: asking again would get the same
    one from the cache. To be deleted when the CDK caches only what its error handler calls a success.
    """
    HttpClient._request_session = _with_care  # type: ignore[method-assign]  # noqa: SLF001
    SQLiteDict._acquire_sqlite_lock = _transaction  # type: ignore[method-assign]  # noqa: SLF001 - see there


def _with_care(self: HttpClient) -> Any:
    try:
        session = _request_session(self)
    except sqlite3.Error as error:  # no room for an empty cache: every child reads its parents anew
        _warn(str(error))
        self._use_cache = False
        return _request_session(self)
    if isinstance(session, CacheMixin):
        session.settings.filter_fn = _is_whole
        for name in ("get_response", "save_response"):
            setattr(session.cache, name, _if_possible(getattr(session.cache, name)))
    return session


@contextmanager
def _transaction(self: SQLiteDict) -> Iterator[None]:
    """Begin and commit, or say that it cannot be done.

    The package tries again for ever, for the sake of other processes that write: ours has its cache for
    itself, and its threads take turns. To be deleted when requests-cache gives up on a full disk.
    """
    with self._lock:
        assert self._connection
        self._connection.execute("BEGIN IMMEDIATE")
        self._active_transaction = True
        try:
            yield
            self._connection.commit()
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise
        finally:
            self._active_transaction = False


def _if_possible(access: Callable[..., Returned]) -> Callable[..., Returned | None]:
    @wraps(access)
    def attempt(*args: Any, **named: Any) -> Returned | None:
        try:
            return access(*args, **named)
        except sqlite3.Error as error:
            _warn(str(error))
            return None

    return attempt


@cache
def _warn(reason: str) -> None:
    logging.getLogger("airbyte").warning(
        "Parents of streams cannot be kept on disk (%s), so they are asked for again. Make room in TMPDIR.",
        reason,
    )


def _is_whole(answer: requests.Response) -> bool:
    try:
        return bool(orjson.loads(answer.content))  # not null either
    except ValueError:
        return False
