"""Messages for people: the CDK's wording put into sentences."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import yaml
from airbyte_cdk.models import AirbyteMessage, FailureType
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

# For each stream the scopes that it needs and the streams that a check reads on its behalf; `make derived` writes it.
ACCESS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("access.json").read_text("utf-8"))
MESSAGES = yaml.safe_load(Path(__file__).with_name("messages.yaml").read_text("utf-8"))
# Atlassian's words
LACKS_SCOPE = "scope does not match"
NOBODY = ("anonymous", "unknown")  # types of the user that Confluence names for a wrong credential
MOST_PLACES = 5
PLACE = "\x1f"  # ends the place of a failure, at the beginning of an internal message
FAILED = "failed with status code '{}'"  # as the CDK says it
STATUS = re.compile(FAILED.format(r"(\d{3})"))

# What the CDK puts before or around the reason.
WRAPPING = re.compile(
    r"^(Stream \w+ is not available: |Exhausted available request attempts\. Please see logs for more details"
    rf"\. Exception: |'[\w.]+' 'GET' request to '[^']*' {STATUS.pattern} and error message: )+"
)


def say(name: str, /, **values: Any) -> str:
    """Return a sentence of messages.yaml, with its values."""
    kind = next(kind for kind in ("config", "transient", "parts") if name in MESSAGES[kind])
    return str(MESSAGES[kind][name]).format_map(values)


class SaidError(AirbyteTracedException):
    """An error whose message is a sentence for a person."""


def error(name: str, cause: object = "", /, **values: Any) -> SaidError:
    """Return the error for a sentence of messages.yaml, of its kind."""
    said = say(name, **values)
    kind = FailureType.transient_error if name in MESSAGES["transient"] else FailureType.config_error
    return SaidError(message=said, internal_message=str(cause) or said, failure_type=kind)


def status_of(internal_message: str | None) -> int:
    """Return the status of the response that an error of the CDK is about, 0 where there is none."""
    found = STATUS.search(internal_message or "")
    return int(found[1]) if found else 0


class Failures:
    """Why streams failed: each reason in a sentence, once, with the places.

    The CDK reports it for every partition, and at the end lists exceptions as Python prints them.

    Args:
        unknown: The streams of the catalog that the connector does not have.
    """

    def __init__(self, unknown: Iterable[str]) -> None:
        # By stream, and the status of the response or the cause: the sentence, and the places.
        self._reasons: dict[tuple[str, int | str], str] = {
            (name, 0): say("no_such_stream") for name in unknown
        }
        self._places: defaultdict[tuple[str, int | str], list[str]] = defaultdict(list)
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
        place, _, trace.internal_message = trace.internal_message.rpartition(PLACE)
        stream, status = trace.stream_descriptor.name, status_of(trace.internal_message)
        kind = (stream, status or trace.internal_message)
        is_new = kind not in self._reasons
        if is_new:
            self._reasons[kind] = filter_secrets(explain(stream, trace.message, status))
            self._types.add(trace.failure_type)
        if place:
            self._places[kind].append(place)
        trace.message = self._reasons[kind] + self._at(kind)
        return is_new

    def _at(self, kind: tuple[str, int | str]) -> str:
        places = sorted(set(self._places[kind]))
        more = f" and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
        return say("places", places=", ".join(places[:MOST_PLACES]), more=more) if places else ""

    def as_exception(self, cause: str) -> SaidError:
        """Return the error that ends the read, for a cause that only the log shows."""
        listed = " ".join(f"{kind[0]}: {said}{self._at(kind)}" for kind, said in self._reasons.items())
        return SaidError(
            message=say("failed_streams", listed=listed),
            internal_message=filter_secrets(cause),
            # The platform retries transient errors, and asks the user about config errors.
            failure_type=self._types.pop() if len(self._types) == 1 else FailureType.config_error,
        )


def explain(stream: str, message: str, status: int) -> str:
    """Return the sentence for a failure of a stream, with what the stream needs where that can be missing."""
    said = reason(message)
    if LACKS_SCOPE in said:
        return said + say("needs_scopes", stream=stream, scopes=scopes(stream))
    needs = ACCESS[stream]["needs"] if status and "deselect" in said.lower() else None
    return said + say("needs", stream=stream, needs=needs) if needs else said


def reason(message: str) -> str:
    """Return the sentence for a message of the CDK."""
    proxies = getproxies()
    name = "https" if "https" in proxies or "all" not in proxies else "all"
    proxy = re.sub(r"^(\w+://)?(.*@)?", "", proxies.get(name, ""))  # without its password
    for known in MESSAGES["known"]:
        if found := re.search(known["match"], message, re.DOTALL):
            return str(known["say"]).format(*found.groups(), proxy=proxy, variable=f"{name.upper()}_PROXY")
    return WRAPPING.sub("", message)


def scopes(stream: str) -> str:
    """Name the scopes that let a stream and its parents be read."""
    return " or ".join(" + ".join(way) for way in ACCESS[stream]["scopes"])
