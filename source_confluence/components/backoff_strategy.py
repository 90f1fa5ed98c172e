"""How long to wait before a retry."""

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from airbyte_cdk.sources.streams.http.error_handlers import BackoffStrategy
from requests import Response

from source_confluence.messages import error


class RetryAfterBackoffStrategy(BackoffStrategy):
    """Wait as long as Confluence asks: in seconds, until a date, or until X-RateLimit-Reset.

    Each wait is at least twice the one before: Confluence can ask for one second for minutes, and the CDK
    counts attempts.

    Tests: `test_faults.py`, "429". Delete it when the manifest may use WaitTimeFromResponse (not in CDK 7.23.8)
    and the CDK takes the longest of several strategies.

    Args:
        longest: Seconds from which on the request fails instead.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float | None:
        """Return the seconds to wait, None where the response does not say.

        Raises:
            AirbyteTracedException: It asks for too long a wait.
        """
        wait = retry_after(response_or_exception) if isinstance(response_or_exception, Response) else None
        if not wait:
            return None
        if wait >= self._longest:
            raise error("asks_to_wait")
        return max(wait, 2.0 ** (attempt_count - 1))


def retry_after(response: Response) -> float | None:
    """Return the seconds that a response asks to wait, None where it does not say."""
    header = response.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}([.][0-9]+)?", header):
        return float(header)
    reset = response.headers.get("X-RateLimit-Reset", "").replace("Z", "+00:00")
    try:
        until = parsedate_to_datetime(header) if header else datetime.fromisoformat(reset)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None
