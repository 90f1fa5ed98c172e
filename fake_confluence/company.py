"""The default site: Norrvik Instruments, an invented company that measures the sea.

It is always the same, to the millisecond: data/company.yaml contains the texts, and random generators with a seed for
each part make the rest. data/records.yaml contains whole records; the body of one page is in
data/architecture_overview.yaml.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fake_confluence import company_access, company_content, company_discussion
from fake_confluence.making import Making
from fake_confluence.site import Site

_DATA = Path(__file__).parent / "data"


def company(*, small: bool = False) -> Site:
    """Return the site of Norrvik Instruments in the middle of 2026.

    Args:
        small: Leave out three quarters of the pages, half of the comments and a quarter of the files, but no kind of
            record and no field: a read of everything needs less than half of the requests.
    """
    text: dict[str, Any] = _read("company.yaml")
    written = _read("architecture_overview.yaml")
    written["atlas_doc_format"] = json.dumps(written["atlas_doc_format"], separators=(",", ":"))
    text["written"] = {"Architecture overview": written}
    making = Making(text, small=small)
    for add in _PARTS:
        making.begin(add.__name__)
        add(making)
    add_records(making, _read("records.yaml"))
    return Site(making.collections, now="2026-06-30T12:00:00.000Z")


def _read(name: str) -> Any:
    return deepcopy(_parse(name))


@cache
def _parse(name: str) -> Any:
    return yaml.safe_load((_DATA / name).read_text(encoding="utf-8"))


def exported_users(site: Site) -> str:
    """Return the file that an administrator of the company's organisation gets from "Export users": CSV."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(
        ["User id", "User name", "email", "User status", "Added to org", "Last seen in Confluence - norrvik"]
    )
    for user in site.records("users"):
        if user["accountType"] == "atlassian" and user["_permissionTypes"]:
            name = user["publicName"]
            email = user["email"] or f"{name.split()[0].lower()}@norrvik.example"
            status = "Suspended" if user["accountStatus"] == "inactive" else "Active"
            lines.writerow([user["accountId"], name, email, status, "01 Mar 2021", "26 Jun 2026"])
    return text.getvalue()


_PARTS: tuple[Callable[[Making], None], ...] = (
    company_access.add_people,
    company_content.add_spaces,
    company_content.add_labels,
    company_content.add_pages,
    company_content.add_blog_posts,
    company_content.add_tree_items,
    company_content.add_custom_content,
    company_content.add_attachments,
    company_content.add_templates,
    company_content.add_blueprints,
    company_discussion.add_comments,
    company_discussion.add_tasks,
    company_discussion.add_properties,
    company_discussion.add_likes,
    company_access.add_permissions,
    company_access.add_restrictions,
    company_access.add_watchers,
    company_access.add_levels_and_states,
    company_access.add_audit,
    company_content.settle_labels,
    company_access.add_who_left,
)


def add_records(making: Making, declared: dict[str, dict[str, Any]]) -> None:
    """Add the collections of data/records.yaml; its first lines explain the keys."""
    for collection, declaration in declared.items():
        making.begin(collection)
        parents = making.records(declaration["below"]) if "below" in declaration else [{}]
        for parent in parents[:: declaration.get("every", 1)]:
            copied = {name: parent[field] for name, field in declaration.get("copy", {}).items()}
            for record in declaration["records"]:
                own = {"id": making.id()} if declaration.get("ids", True) else {}
                making.put(collection, {**own, **record, **copied})
