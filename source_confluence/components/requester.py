"""Requests that end."""

from collections.abc import Mapping
from threading import Timer
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.sources.streams.http.tcp_keepalive import TcpKeepaliveHTTPAdapter
from airbyte_cdk.utils import AirbyteTracedException
from requests import PreparedRequest, Response

RESPONSE_SECONDS = 300
GIVE_UP_AFTER = 20


class PatientRequester(HttpRequester):
    """Stop a stream after many requests in a row that failed after all their retries.

    Each partition retries its own requests. Without this, a stream with a request for each of 100,000 pages
    waits two minutes for every page while Confluence is down.

    Test: `test_faults.py::test_a_site_that_is_down_is_not_asked_for_every_page`. Delete it when the CDK stops
    a stream that has failed.
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        """Mount the adapter that limits the time for a response."""
        super().__post_init__(parameters)
        self._failed = 0
        for scheme in ("https://", "http://"):
            self._http_client._session.mount(scheme, DeadlineAdapter(pool_maxsize=25))  # noqa: SLF001 - the CDK offers no other way

    def send_request(self, **request: Any) -> Response | None:  # type: ignore[override]  # passes on all arguments
        """Send a request, with the retries that the error handler asks for.

        Raises:
            AirbyteTracedException: It failed, or too many did before.
        """
        if self._failed >= GIVE_UP_AFTER:
            raise AirbyteTracedException(
                message=f"{GIVE_UP_AFTER} requests in a row failed after all retries, so the rest of the stream "
                "was not read. Try again later.",
                failure_type=FailureType.transient_error,
            )
        try:
            response = super().send_request(**request)
        except AirbyteTracedException as error:
            if isinstance(error.__context__, BaseBackoffException):
                self._failed += 1
            raise
        self._failed = 0
        return response


class DeadlineAdapter(TcpKeepaliveHTTPAdapter):
    """Limit the time for a whole response body.

    A read timeout limits only the silence between two bytes: at a byte a second a page takes days.

    Test: `test_faults.py`, "a byte at a time, in the body". Delete it when the CDK limits a whole response.
    """

    def send(self, request: PreparedRequest, stream: bool = False, **how: Any) -> Response:  # type: ignore[override]  # noqa: FBT001, FBT002 - as inherited
        """Send a request; close the connection of a body that does not end in time."""
        response = super().send(request, stream=stream, **how)
        if not stream:
            timer = Timer(RESPONSE_SECONDS, response.raw.shutdown)
            timer.start()
            try:
                response.content  # noqa: B018 - reads the body
            finally:
                timer.cancel()
        return response
