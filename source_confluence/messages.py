"""Messages for people: the CDK's wording put into sentences."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk.models import AirbyteMessage, FailureType
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

# For each stream the scopes that it needs and the streams that a check reads on its behalf; `make derived` writes it.
ACCESS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("access.json").read_text("utf-8"))
REASONS = yaml.safe_load(Path(__file__).with_name("messages.yaml").read_text("utf-8"))
PLACE = re.compile(r" It came after \d+ records[^.]*\.")  # as the retriever says it
LACKS_SCOPE = "scope does not match"
NO_SUCH_STREAM = "The connector has no such stream. Refresh the schema of the connection."

# What the CDK puts before or around the reason.
WRAPPING = re.compile(
    r"^(Stream \w+ is not available: |Exhausted available request attempts\. Please see logs for more details"
    r"\. Exception: |'[\w.]+' 'GET' request to '[^']*' failed with status code '\d+' and error message: )+"
)


def error(message: str, internal_message: str = "") -> AirbyteTracedException:
    """Return a config error: one that the user can correct."""
    return AirbyteTracedException(
        message=message, internal_message=internal_message or message, failure_type=FailureType.config_error
    )


def foreign_state(streams: str, failure: Exception) -> AirbyteTracedException:
    """Return the error for a state that this connector cannot read."""
    sentence = "was not written by this connector. Use the state of the last sync, or reset the stream."
    return error(f"The saved state of {streams} {sentence}", str(failure))


class Failures:
    """Why streams failed: each reason in a sentence, once.

    The CDK reports it for every partition, and at the end lists exceptions as Python prints them.

    Args:
        unknown: The streams of the catalog that the connector does not have.
    """

    def __init__(self, unknown: Iterable[str]) -> None:
        self._reasons = dict.fromkeys(unknown, NO_SUCH_STREAM)
        self._types: set[FailureType | None] = {FailureType.config_error for _ in self._reasons}

    def __bool__(self) -> bool:
        """Tell whether a stream failed."""
        return bool(self._reasons)

    def is_new(self, message: AirbyteMessage) -> bool:
        """Rewrite an error message; tell whether its stream has not reported it yet. Other messages are new."""
        trace = message.trace.error if message.trace else None
        if trace is None:
            return True
        trace.internal_message = filter_secrets(trace.internal_message or "")
        trace.stack_trace = filter_secrets(trace.stack_trace or "")
        if trace.stream_descriptor is None:
            return True
        stream = trace.stream_descriptor.name
        trace.message = filter_secrets(explain(stream, trace.message))
        is_new = PLACE.sub("", self._reasons.get(stream, "")) != PLACE.sub("", trace.message)
        self._reasons[stream] = trace.message
        self._types.add(trace.failure_type)
        return is_new

    def as_exception(self, cause: str) -> AirbyteTracedException:
        """Return the error that ends the read, for a cause that only the log shows."""
        listed = " ".join(f"{stream}: {sentence}" for stream, sentence in self._reasons.items())
        return AirbyteTracedException(
            message=f"Not every stream could be read; the others are complete. {listed}",
            internal_message=filter_secrets(cause),
            # The platform retries transient errors, and asks the user about config errors.
            failure_type=self._types.pop() if len(self._types) == 1 else FailureType.config_error,
        )


def explain(stream: str, message: str) -> str:
    """Return the sentence for a failure of a stream, with what the stream needs where that is missing."""
    said = reason(message)
    if LACKS_SCOPE in said:
        return f"{said} {stream} needs {scopes(stream)}."
    needs = (
        ACCESS[stream]["needs"]
        if re.search(r"this stream \(403\)|returned 404|not have the feature", said)
        else None
    )
    return f"{said} {stream} needs: {needs}." if needs else said


def reason(message: str) -> str:
    """Return the sentence for a message of the CDK."""
    for known in REASONS:
        if found := re.search(known["match"], message, re.DOTALL):
            return str(known["say"]).format(*found.groups())
    return WRAPPING.sub("", message)


def scopes(stream: str) -> str:
    """Name the scopes that let a stream and its parents be read."""
    return " or ".join(" + ".join(way) for way in ACCESS[stream]["scopes"])
