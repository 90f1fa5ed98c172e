"""The default site: Norrvik Instruments, an invented company that measures the sea.

Always the same, down to the last millisecond: data/company.yaml says what there is, and a seeded
generator of random numbers the rest. One page has a body from data/architecture_overview.yaml.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from fake_confluence import company_access, company_content, company_discussion
from fake_confluence.making import Making
from fake_confluence.site import Site

_DATA = Path(__file__).parent / "data"


def company() -> Site:
    """Return the site of Norrvik Instruments as it was in the middle of 2026."""
    text: dict[str, Any] = yaml.safe_load((_DATA / "company.yaml").read_text(encoding="utf-8"))
    written = yaml.safe_load((_DATA / "architecture_overview.yaml").read_text(encoding="utf-8"))
    written["atlas_doc_format"] = json.dumps(written["atlas_doc_format"], separators=(",", ":"))
    text["written"] = {"Architecture overview": written}
    making = Making(text)
    company_access.add_people(making)
    company_content.add_spaces(making)
    company_content.add_labels(making)
    company_content.add_pages(making)
    company_content.add_blog_posts(making)
    company_content.add_tree_items(making)
    company_content.add_custom_content(making)
    company_content.add_attachments(making)
    company_content.add_templates(making)
    company_discussion.add_comments(making)
    company_discussion.add_tasks(making)
    company_discussion.add_properties(making)
    company_discussion.add_likes(making)
    company_access.add_permissions(making)
    company_access.add_restrictions(making)
    company_access.add_watchers(making)
    company_access.add_site(making)
    company_access.add_audit(making)
    company_content.settle_labels(making)
    company_access.add_who_left(making)
    return Site(making.collections, now="2026-06-30T12:00:00.000Z")
