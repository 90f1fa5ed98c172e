"""What a person reads when something fails: the CDK's wording put into sentences."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

if TYPE_CHECKING:
    from airbyte_cdk.models import AirbyteErrorTraceMessage

SCOPES = Path(__file__).with_name("scopes.json")
LACKS_SCOPE = "scope does not match"

# What the CDK puts before or around the reason.
WRAPPING = re.compile(
    r"^(Stream \w+ is not available: |Exhausted available request attempts\. Please see logs for more details"
    r"\. Exception: |'[\w.]+' 'GET' request to '[^']*' failed with status code '\d+' and error message: )+"
)
# The reasons that no answer of Confluence can explain, because there was none.
REASONS = [
    (
        re.compile(r"API rate limit exceeded"),
        (
            "Confluence asked for fewer requests (429) again and again. Lower num_workers, or sync at "
            "another time."
        ),
    ),
    (
        re.compile(r"rate limit wait time is longer than the connector is allowed"),
        "Confluence asks to wait for more than an hour (429). Sync again later.",
    ),
    (
        re.compile(r"Refresh token was rejected by the OAuth provider.*access_denied", re.DOTALL),
        "Atlassian does not know this client: client_id or client_secret is wrong or was replaced.",
    ),
    (
        re.compile(r"Refresh token was rejected by the OAuth provider"),
        (
            "Atlassian does not accept the refresh token any more: it was used elsewhere, lay unused for 90 "
            "days, or the consent was taken back. Sign in again in the settings of the connection."
        ),
    ),
    (
        re.compile(r"Refreshed OAuth access token is rejected|does not accept the access token"),
        (
            "Confluence does not accept the access token, not even a new one (401). Check that cloud_id is "
            "that of a site that was granted: it stands at /_edge/tenant_info of the site."
        ),
    ),
    (
        re.compile(r"OAuth (?:access )?token refresh request"),
        (
            "Atlassian's token endpoint gave no access token. Try again later, and check that the network "
            "lets the connector out to auth.atlassian.com."
        ),
    ),
    (
        re.compile(r"Failed to resolve '([^']+)'"),
        "The name {0} does not resolve: there is no such site. Check domain_name.",
    ),
    (
        re.compile(
            r"host='([^']+)', port=(\d+).*(?:Connection refused|No route to host|Network is unreachable)",
            re.DOTALL,
        ),
        "Nothing answers at {0}:{1}. Check domain_name, and that the network lets the connector out.",
    ),
    (
        re.compile(r"host='([^']+)'.*(?:timed out|ConnectTimeout)", re.DOTALL),
        "{0} does not answer in time. Try again later, and check domain_name and the network.",
    ),
    (
        re.compile(r"host='([^']+)'.*SSLError", re.DOTALL),
        "The connection to {0} is not secure: its certificate is not accepted. Check domain_name.",
    ),
    (
        re.compile(
            r"(?:Connection aborted|Connection broken|ChunkedEncodingError|IncompleteRead|ConnectionReset)"
        ),
        "The connection to Confluence broke off again and again. Try again later.",
    ),
    (
        re.compile(r"failed to be serialized to JSON"),
        "A record is nested too deep to be written down, so the read ended there. Please report it.",
    ),
    (
        re.compile(r"^An unexpected error occurred in stream \w+: (\w+)"),
        (
            "Confluence gave something that the connector cannot make sense of ({0}); the log says where. "
            "Please report it."
        ),
    ),
]


class Failures:
    """Why streams failed, each reason in a sentence and said once.

    The CDK says it for every partition, and at the end lists exceptions as Python writes them.
    """

    def __init__(self) -> None:
        self.cause = ""
        self._reasons: dict[str, str] = {}
        self._types: set[FailureType | None] = set()

    def __bool__(self) -> bool:
        """Tell whether any stream failed."""
        return bool(self._reasons)

    def add(self, stream: str, sentence: str, failure_type: FailureType | None) -> None:
        """Note why a stream failed."""
        self._reasons[stream] = sentence
        self._types.add(failure_type)

    def is_new(self, error: AirbyteErrorTraceMessage) -> bool:
        """Put an error into words, and tell whether its stream has not said them yet."""
        error.internal_message = filter_secrets(error.internal_message or "")
        error.stack_trace = filter_secrets(error.stack_trace or "")
        if error.stream_descriptor is None:
            return True
        stream = error.stream_descriptor.name
        error.message = filter_secrets(explain(stream, error.message))
        is_new: bool = self._reasons.get(stream) != error.message
        self.add(stream, error.message, error.failure_type)
        return is_new

    def as_exception(self) -> AirbyteTracedException:
        """Return the last word of a read."""
        listed = " ".join(f"{stream}: {sentence}" for stream, sentence in self._reasons.items())
        return AirbyteTracedException(
            message=f"Not every stream could be read; the others are complete. {listed}",
            internal_message=filter_secrets(self.cause),
            # The platform tries again what may pass by itself, and asks a person about the rest.
            failure_type=self._types.pop() if len(self._types) == 1 else FailureType.config_error,
        )


def explain(stream: str, message: str) -> str:
    """Say in a sentence why a stream failed.

    Args:
        stream: The stream's name.
        message: What the CDK says of it.
    """
    said = reason(message)
    return f"{said} {stream} needs {scopes(stream)}." if LACKS_SCOPE in said else said


def reason(message: str) -> str:
    """Say in a sentence what the CDK says of a failure, of whatever stream."""
    for pattern, sentence in REASONS:
        if found := pattern.search(message):
            return sentence.format(*found.groups())
    return WRAPPING.sub("", message)


def scopes(stream: str) -> str:
    """Name the scopes that let a stream and its parents be read."""
    return " or ".join(" + ".join(way) for way in json.loads(SCOPES.read_text("utf-8"))[stream])
