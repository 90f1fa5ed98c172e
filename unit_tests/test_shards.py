"""A very large site is read over several connections, each with its own spaces."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from common.connector import STREAMS, config_for, connector, key_of
from fake_confluence import Server, company

# Confluence cannot limit these lists to spaces: one connection reads them, for all.
OF_THE_SITE = {
    *("attachments", "attachment_files", "attachment_versions", "attachment_labels"),
    *("footer_comments", "footer_comment_replies", "footer_comment_versions", "footer_comment_likes"),
    *("inline_comments", "inline_comment_replies", "inline_comment_versions", "inline_comment_likes"),
    *("labels", "page_labels", "blog_post_labels"),
    *("space_permission_types", "space_role_mode"),
    *("space_roles", "users", "group", "group_members", "classification_levels", "site_info", "audit"),
}
Keys = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def reads() -> dict[str, Keys]:
    """Read the site in one connection, and in three: two name their spaces, the last leaves those out."""
    with Server(company()) as server:
        spaces = [space["key"] for space in server.site.records("spaces")]
        types = sorted({record["type"] for record in server.site.records("custom_content")})
        connections: dict[str, dict[str, Any]] = {
            "whole": {},
            "first": {"space_keys": spaces[:3]},
            "second": {"space_keys": spaces[3:5]},
            "rest": {"exclude_space_keys": spaces[:5]},
        }
        found = {}
        for name, spaces_of_it in connections.items():
            config = config_for(server, custom_content_types=types, **spaces_of_it)
            output = connector("read", config, select=list(STREAMS))
            assert output.exit_code == 0, output.errors
            found[name] = {
                stream: sorted(key_of(stream, record) for record in output.records[stream])
                for stream in STREAMS
            }
        return found


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in OF_THE_SITE])
def test_shards_by_space_are_the_whole_and_overlap_nowhere(reads: dict[str, Keys], name: str) -> None:
    shards = [reads[shard][name] for shard in ("first", "second", "rest")]
    keys = Counter(key for shard in shards for key in shard)
    if name == "content_templates":  # the global templates belong to no space, so every connection reads them
        keys = Counter(set(keys))
    assert keys == Counter(reads["whole"][name])
    assert all(len(shard) < len(reads["whole"][name]) for shard in shards)


@pytest.mark.parametrize("name", sorted(OF_THE_SITE))
def test_a_stream_of_the_site_is_whole_in_every_shard(reads: dict[str, Keys], name: str) -> None:
    for shard in ("first", "second", "rest"):
        assert reads[shard][name] == reads["whole"][name]
