"""What a person reads when something fails: the CDK's wording put into sentences."""

from __future__ import annotations

import json
import re
from pathlib import Path

SCOPES = Path(__file__).with_name("scopes.json")

# What the CDK puts before or around the reason.
WRAPPING = re.compile(
    r"^(Stream \w+ is not available: |Exhausted available request attempts\. Please see logs for more details"
    r"\. Exception: |'[\w.]+' 'GET' request to '[^']*' failed with status code '\d+' and error message: )+"
)
# The reasons that no answer of Confluence can explain, because there was none.
REASONS = [
    (
        re.compile(r"Failed to resolve '([^']+)'"),
        "The name {0} does not resolve: there is no such site. Check domain_name.",
    ),
    (
        re.compile(
            r"host='([^']+)'.*(?:Connection refused|No route to host|Network is unreachable)", re.DOTALL
        ),
        "Nothing answers at {0}. Check domain_name, and that the network lets the connector out.",
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
]


def explain(stream: str, message: str) -> str:
    """Say in a sentence why a stream failed.

    Args:
        stream: The stream's name.
        message: What the CDK says of it.
    """
    for pattern, sentence in REASONS:
        if found := pattern.search(message):
            return sentence.format(*found.groups())
    message = WRAPPING.sub("", message)
    if "scope does not match" in message:
        needed = " or ".join(" + ".join(way) for way in json.loads(SCOPES.read_text("utf-8"))[stream])
        return f"{message} {stream} needs {needed}."
    return message
