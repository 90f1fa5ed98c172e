"""Leave out what is in no chosen space, in lists that Confluence cannot filter by space."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from airbyte_cdk.sources.declarative.requesters import Requester
from airbyte_cdk.sources.declarative.retrievers import SimpleRetriever
from airbyte_cdk.sources.types import Record, StreamSlice

from source_confluence.components.decoder import parsed

It = TypeVar("It")
Data = Mapping[str, Any]
LOGGER = logging.getLogger("airbyte")
OF_THE_SITE = "_v2_site"  # in the address of such a list
MOST_IDS, MOST_SPACES = 250, 100  # in a request
MOST_REMEMBERED = 100_000
HOLDERS = ("pageId", "blogPostId", "customContentId")
STATUSES = ["current", "archived", "trashed", "deleted"]


class Scope:
    """Ask Confluence for the space of the page, post or custom content that a record belongs to.

    Only the answer counts: a list of all pages in the chosen spaces costs a request for each 250 of them in each sync,
    and lacks a page that was created later. Content of which Confluence names no space (a draft, a purged page, custom
    content of a type that is not configured) is left out, and counted in the log.

    Test: `test_spaces.py`. Delete it when Confluence can filter these lists.
    """

    def __init__(self, config: Data, place: SimpleRetriever, requester: Requester) -> None:
        self._place, self._requester, self._workers = place, requester, config.get("num_workers", 10)
        self._space_of: dict[str, str] = {}  # by content
        self._is_chosen: dict[str, bool] = {}  # by space
        self._lists: list[tuple[str, str, Data]] = [
            ("pageId", "pages", {"status": STATUSES}),
            ("blogPostId", "blogposts", {"status": [STATUSES[0], *STATUSES[2:]]}),
            *(
                ("customContentId", "custom-content", {"type": it})
                for it in config.get("custom_content_types", [])
            ),
        ]

    def chosen(self, name: str, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records of a stream that are in chosen spaces; of labels, those on such content."""
        unknown, is_used = 0, partial(self._is_used, self._few_spaces() if name == "labels" else {})
        with ThreadPoolExecutor(self._workers) as pool:
            for batch in batches(records):
                data = [record.data for record in batch]
                answers = pool.map(is_used, data) if name == "labels" else self._are_chosen(data)
                for record, is_chosen in zip(batch, answers, strict=True):
                    unknown += is_chosen is None
                    if is_chosen:
                        yield record
        if unknown:
            LOGGER.info("%s: %d records were left out, because their space is not known.", name, unknown)

    def _are_chosen(self, data: list[Data]) -> list[bool | None]:
        known = self._space_of = self._space_of if len(self._space_of) < MOST_REMEMBERED else {}
        files = {
            it["attachmentId"] for it in data if it.get("attachmentId") and not any(map(it.get, HOLDERS))
        }
        holders = {file: self._file(file) for file in files}
        data = [holders.get(it.get("attachmentId", ""), it) for it in data]
        for field, path, more in self._lists:
            if new := {it[field] for it in data if it.get(field)} - known.keys():
                known.update(
                    (it["id"], it.get("spaceId", "")) for it in self._ask(path, id=",".join(new), **more)
                )
        spaces = [it.get("spaceId") or known.get(next(filter(None, map(it.get, HOLDERS)), "")) for it in data]
        if new := {space for space in spaces if space} - self._is_chosen.keys():
            found = self._chosen_spaces(ids=",".join(new))
            self._is_chosen.update((space, space in found) for space in new)
        return [self._is_chosen.get(space or "") for space in spaces]

    def _is_used(self, few_spaces: Data, label: Data) -> bool:
        lists = {"pages": few_spaces, "blogposts": few_spaces, "attachments": {}}
        found = (
            self._ask(f"labels/{label['id']}/{path}", labelId=label["id"], **more)
            for path, more in lists.items()
        )
        return any(True in self._are_chosen(batch) for each in found for batch in batches(each))

    def _few_spaces(self) -> Data:
        ids = self._chosen_spaces()
        return {"space-id": ",".join(ids)} if len(ids) <= MOST_SPACES else {}

    def _chosen_spaces(self, **parameters: str) -> set[str]:
        # A space that leaves the archive between the first two lists is in the third.
        lists = (
            self._ask("spaces", status=status, **parameters) for status in ("current", "archived", "current")
        )
        return {space["id"] for spaces in lists for space in spaces}

    def _file(self, attachment_id: str) -> Data:
        named = {"path": f"attachments/{attachment_id}", "attachmentId": attachment_id}
        response = self._requester.send_request(stream_slice=StreamSlice(partition=named, cursor_slice={}))
        return parsed(response) if response else {}

    def _ask(self, path: str, **parameters: Any) -> Iterator[Data]:
        asked = StreamSlice(partition={"path": path, **parameters}, cursor_slice={})
        return (record.data for record in self._place.read_records({}, asked))  # type: ignore[union-attr]  # a Record, as our selectors yield


def batches(items: Iterator[It]) -> Iterator[list[It]]:
    """Yield groups of as many items as a request may name."""
    while batch := list(islice(items, MOST_IDS)):
        yield batch
