"""Who may read and update content: the lists of `content_restrictions`, and those of a request for each content."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Records = Mapping[str, Iterable[dict[str, Any]]]

BULK = "content_restrictions"
# The streams with a request for each content, and the field with its id.
EACH = {
    "page_restrictions": "pageId",
    "blog_post_restrictions": "blogPostId",
    "tree_item_restrictions": "treeItemId",
}
LISTS = ("readAccountIds", "readGroupIds", "updateAccountIds", "updateGroupIds")
Principals = dict[str, tuple[set[str], ...]]


def in_bulk(records: Records) -> Principals:
    """Return the four lists of each content, if they are complete."""
    return {
        record["id"]: tuple(set(record[name]) for name in LISTS)
        for record in records[BULK]
        if record["readIsComplete"] and record["updateIsComplete"]
    }


def of_each(records: Records) -> Principals:
    """Return the same lists from the streams with a request for each content."""
    found: Principals = defaultdict(lambda: (set(), set(), set(), set()))
    for stream, field in EACH.items():
        for record in records[stream]:
            lists = found[record[field]][0 if record["operation"] == "read" else 2 :]
            lists[0].update(user["accountId"] for user in record["restrictions"]["user"]["results"])
            lists[1].update(group["id"] for group in record["restrictions"]["group"]["results"])
    return dict(found)
