"""Smaller pages where Confluence cannot make large ones in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.declarative.retrievers.page_size_reducer import PageSizeReduction
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ResponseAction

if TYPE_CHECKING:
    from collections.abc import Mapping

# 250, 125 … 1 in eight steps, with a pause of 2, 4 … 16 seconds before each.
REDUCTION = PageSizeReduction(
    max_attempts=8,
    backoff_seconds=2.0,
    retries_at_minimum_page_size=4,
    failure_message="Confluence did not answer in time (504). Try again later.",
)
_post_init = SimpleRetriever.__post_init__


def install() -> None:
    """Have every list ask for half as many records after a 504, and go on from the same place.

    To be deleted when the platform's CDK knows REDUCE_PAGE_SIZE (7.23.8 does not): the manifest can say this.
    """
    SimpleRetriever.__post_init__ = _with_reduction  # type: ignore[method-assign]


def _with_reduction(self: SimpleRetriever, parameters: Mapping[str, Any]) -> None:
    _post_init(self, parameters)
    requester: Any = self.requester
    if self._paginator.get_page_size() and not requester.disable_retries:
        self.page_size_reduction = REDUCTION
        requester.error_handler.response_filters.insert(
            0,
            HttpResponseFilter(
                config=self.config, parameters={}, http_codes={504}, action=ResponseAction.REDUCE_PAGE_SIZE
            ),
        )
