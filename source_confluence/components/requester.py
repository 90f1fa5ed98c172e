"""Ask for a parent before it counts as gone, and stop a stream whose requests fail one after another."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.requesters.error_handlers.http_response_filter import HttpResponseFilter
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ResponseAction
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.utils import AirbyteTracedException
from requests import Response

from source_confluence.components.adapters import DeadlineAdapter
from source_confluence.components.decoder import NOTHING, parsed, quoted
from source_confluence.messages import FAILED, NOBODY, error

LOGGER = logging.getLogger("airbyte")
GIVE_UP_AFTER = 20
NOT_FOUND = 404
BELIEVED_SECONDS = 1
IDS = "_ids"  # an extra field of a slice: what a request is limited to
# By the field with a parent's id: where Confluence says whether the parent is still there.
PARENTS = {
    "spaceId": "{_v2}/spaces/{id}",
    "pageId": "{_v2}/pages/{id}",
    "blogPostId": "{_v2}/blogposts/{id}",
    "attachmentId": "{_v2}/attachments/{id}",
    "customContentId": "{_v2}/custom-content/{id}",
    "treeItemId": "{_v2}/{type}s/{id}",
    "commentId": "{_v2}/{kind}-comments/{id}",
    "labelId": "{_v2}/labels?label-id={id}",
    "groupId": "{_v1}/group/by-id?id={id}",
}


class CarefulRequester(HttpRequester):
    """Skip a parent only if Confluence, asked for that parent, says that it is gone or in the trash.

    A 404 below a parent can also mean a permission that the account lacks, or be wrong for a moment. Then the stream
    fails. Where the manifest says that 404 is an answer (no level is set), it is one while the credential works: for a
    revoked credential everything is 404.
    Each partition retries its own requests: without a limit, a stream with a request for each of 100,000 pages
    waits two minutes for every page while Confluence is down.

    Tests: `test_absence.py`; `test_faults.py`, "a site that is down". Delete it when the CDK can ask a second question
    and stops a stream that has failed.
    """

    skipped: Counter[str]  # by stream; the factory sets it

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.failed = 0
        self._worked = float("-inf")
        for scheme in ("https://", "http://"):
            self._http_client._session.mount(scheme, DeadlineAdapter(pool_maxsize=25))  # noqa: SLF001 - the CDK offers no other way
        filters = getattr(self.error_handler, "response_filters", None) or []
        ignored = [each for each in filters if each.action == ResponseAction.IGNORE]
        self._is_answer = any(NOT_FOUND in each.http_codes for each in ignored)
        if ignored:  # decide here, and not by the words of the response
            answer = HttpResponseFilter(
                config=self.config, parameters={}, http_codes={NOT_FOUND}, action=ResponseAction.IGNORE
            )
            filters.insert(filters.index(ignored[0]), answer)

    def get_request_params(self, **request: Any) -> Mapping[str, Any]:  # type: ignore[override]  # passes on all arguments
        """Return the parameters; for a slice with `IDS` those of these ids, or without bodies for none."""
        params = dict(super().get_request_params(**request))
        ids = getattr(request.get("stream_slice"), "extra_fields", {}).get(IDS)
        if ids:
            params["id"] = ids
        elif ids is not None:
            params.pop("body-format", None)
        return params

    def send_request(self, **request: Any) -> Response | None:  # type: ignore[override]  # passes on all arguments
        """Send a request, with the retries that the error handler asks for; return None for a missing parent."""
        if self.failed >= GIVE_UP_AFTER:
            raise error("gave_up", count=GIVE_UP_AFTER)
        try:
            response = super().send_request(**request)
            if response is not None and response.status_code == NOT_FOUND:
                response = self._after_not_found(response, request)
        except AirbyteTracedException as failure:
            self.failed += isinstance(failure.__context__, BaseBackoffException)
            raise
        self.failed = 0
        return response

    def _after_not_found(self, response: Response, request: Mapping[str, Any]) -> Response | None:
        """Return None where a parent is gone, and the response where it is an answer.

        Raises:
            AirbyteTracedException: The parent is still there, or Confluence does not say.
        """
        if self._is_answer:
            is_named = quoted(response) not in (HTTPStatus.NOT_FOUND.phrase, NOTHING)
            self._require_credential(BELIEVED_SECONDS if is_named else 0)
            return response
        if self._is_gone(request["stream_slice"]):
            self.skipped[self.name] += 1
            LOGGER.info(
                "%s: a parent was skipped, because Confluence no longer has it: %s", self.name, response.url
            )
            return None
        again = super().send_request(**request)
        if again is not None and again.status_code == NOT_FOUND:
            self.failed += 1
            cause = f"A request of {self.name} {FAILED.format(NOT_FOUND)}"
            raise error("parent_exists", cause, said=quoted(again))
        return again

    def _is_gone(self, stream_slice: Any) -> bool:
        """Ask Confluence for the parent itself; a list without a parent cannot be gone."""
        field = next((field for field in PARENTS if isinstance(stream_slice.get(field), str)), "")
        if not field:
            self._require_credential(0)
            return False
        kind = "inline" if self.name.startswith("inline") else "footer"
        names = {**self.config, **stream_slice.extra_fields, "id": stream_slice[field], "kind": kind}
        response = self._ask(PARENTS[field].format_map(names))
        if response.status_code == NOT_FOUND:
            self._require_credential(0)
            return True
        body = parsed(response)
        return body.get("status") in ("trashed", "deleted") or (
            body.get("results") == []
            and not ((body.get("_links") or {}).get("next") or response.links.get("next"))
        )

    def _require_credential(self, seconds: float) -> None:
        """Fail if the credential does not work now, or did not within these seconds: then 404 says nothing."""
        asked = time.monotonic()
        if asked - self._worked < seconds:
            return
        try:
            answer = self._ask(f"{self.config['_v1']}/user/current")
        except AirbyteTracedException:  # it may lack this scope
            answer = self._ask(f"{self.config['_v2']}/spaces?limit=1")
        if answer.status_code == NOT_FOUND or parsed(answer).get("type") in NOBODY:
            raise error("invalid_credential")
        self._worked = asked

    def _ask(self, url: str) -> Response:
        return self._http_client.send_request("GET", url, {})[1]
