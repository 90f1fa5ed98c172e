"""No success of an answer that the decoder cannot read."""

from __future__ import annotations

from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.error_handlers import DefaultErrorHandler
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from requests import Response

from source_confluence.fast_records import decoded

_interpret_response = DefaultErrorHandler.interpret_response


def install() -> None:
    """Ask again for what is no UTF-8.

    The CDK shows the manifest's filters a list with strange letters in it, and then decodes the same bytes to
    an empty one. To be deleted when JsonDecoder fails where it cannot decode.
    """
    DefaultErrorHandler.interpret_response = _if_decodable  # type: ignore[method-assign]


def _if_decodable(self: DefaultErrorHandler, response_or_exception: Any) -> ErrorResolution:
    resolution = _interpret_response(self, response_or_exception)
    if resolution.response_action is ResponseAction.SUCCESS and isinstance(response_or_exception, Response):
        try:
            if decoded(response_or_exception) is None:
                response_or_exception.content.decode()
        except UnicodeDecodeError:
            sentence = "Confluence's answer is not in UTF-8. Try again later."
            return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, sentence)
    return resolution
