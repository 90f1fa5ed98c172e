"""How long to wait for Confluence, and when no longer."""

from __future__ import annotations

import io
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategies import (
    wait_time_from_header_backoff_strategy as wait_time,
)
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.sources.streams.http.http_client import HttpClient
from airbyte_cdk.utils import AirbyteTracedException
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    import socket

    import requests

ANSWER_SECONDS = 300
IN_VAIN = 20

_Strategy = wait_time.WaitTimeFromHeaderBackoffStrategy
_backoff_time = _Strategy.backoff_time
_send_with_retry = HttpClient._send_with_retry  # noqa: SLF001 - wrapped below


def install() -> None:
    """Have the CDK's HTTP client wait as it is told, and for nothing without end."""
    wait_time.get_numeric_value_from_header = seconds_told
    _Strategy.backoff_time = _at_least_doubling  # type: ignore[method-assign]
    HTTPConnection.response_class = _TimelyResponse
    HttpClient._send_with_retry = _unless_in_vain  # type: ignore[method-assign]  # noqa: SLF001


def seconds_told(response: requests.Response, header: str, regex: Any) -> float | None:  # noqa: ARG001 - the CDK passes it
    """Return how long an answer says to wait.

    The CDK understands a number of seconds alone. To be deleted when the platform's CDK has
    WaitTimeFromResponse (7.23.8 has not), with which the manifest can say this.
    """
    told = response.headers.get(header, "")
    try:
        return float(told)
    except ValueError:
        pass
    try:
        if told:
            moment = parsedate_to_datetime(told)
        else:
            moment = datetime.fromisoformat(
                response.headers.get("X-RateLimit-Reset", "").replace("Z", "+00:00")
            )
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):  # neither, or a moment without a time zone
        return None


def _at_least_doubling(self: Any, response_or_exception: Any, attempt_count: int) -> float | None:
    """Wait as told, but each time at least twice as long as the last.

    Confluence can say 1 second for minutes on end, and the CDK counts attempts. To be deleted when the CDK
    takes the longest of several backoff strategies instead of the first.
    """
    told = _backoff_time(self, response_or_exception, attempt_count)
    return max(told, 2.0 ** (attempt_count - 1)) if told else None


class _Timely(io.RawIOBase):
    """The bytes of one answer, until its time is over."""

    def __init__(self, raw: Any, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._until = time.monotonic() + ANSWER_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer in {ANSWER_SECONDS} s")
        self._sock.settimeout(min(left, self._sock.gettimeout() or left))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimelyResponse(HTTPResponse):
    """An answer that comes to an end.

    A read timeout bounds the silence between two bytes: at a byte a second an answer takes days. The CDK's
    requests for access tokens have no timeout at all. To be deleted when the CDK bounds the whole answer.
    """

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timely(self.fp.detach(), sock))


def _unless_in_vain(self: Any, *args: Any, **more: Any) -> requests.Response:
    """Send a request as often as it takes, but no more after many in a row that were repeated in vain.

    Each partition of a stream repeats its requests by itself: while Confluence is down, a hundred thousand
    pages would wait for two minutes each. To be deleted when the CDK stops a stream that has failed.

    Raises:
        AirbyteTracedException: It was in vain.
    """
    if getattr(self, "in_vain", 0) >= IN_VAIN:
        raise AirbyteTracedException(
            message=f"{IN_VAIN} requests in a row failed however often they were repeated, so the rest of "
            "the stream was not asked for. Try again later.",
            failure_type=FailureType.transient_error,
        )
    try:
        response = _send_with_retry(self, *args, **more)
    except AirbyteTracedException as error:
        if isinstance(error.__context__, BaseBackoffException):
            self.in_vain = getattr(self, "in_vain", 0) + 1
        raise
    self.in_vain = 0
    return response
