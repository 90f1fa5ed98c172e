"""The settings that choose spaces: what they leave out, and how many keys they take."""

from __future__ import annotations

from typing import Any

import pytest

from common.connector import config_for, connector
from fake_confluence import Server, generate

# ---------------------------------------------------------------- More keys than a URL holds


@pytest.fixture(scope="module")
def personal() -> Any:
    """Serve a site with 600 personal spaces, each with a page and a folder."""
    site = generate(pages=0, spaces=1)
    for n in range(600):
        space = site.add_space(f"Person {n}", key=f"~{n:024}", type="personal")
        page = site.add_page(f"About {n}", space_id=space["id"])
        folder = {**page, "id": site.new_id(), "type": "folder", "title": f"Folder {n}", "_links": {}}
        site.add("tree_items", folder)
    with Server(site) as server:
        yield server


@pytest.mark.parametrize("name", ["space_keys", "exclude_space_keys"])
@pytest.mark.parametrize("count", [1, 250, 420])
def test_any_number_of_keys_works_in_check_and_read(personal: Server, name: str, count: int) -> None:
    keys = [space["key"] for space in personal.site.records("spaces") if space["type"] == "personal"]
    config = config_for(personal, **{name: keys[:count]})
    assert connector("check", config).connection["status"] == "SUCCEEDED"
    output = connector("read", config, select=["space", "pages", "tree_item_index"])
    assert (output.exit_code, output.errors) == (0, [])
    chosen = keys[:count] if name == "space_keys" else [*keys[count:], "S0"]
    assert sorted(space["key"] for space in output.records["space"]) == sorted(chosen)
    people = {f"{int(key[1:])}" for key in chosen if key != "S0"}
    assert {page["title"].split()[1] for page in output.records["pages"]} == people
    assert {item["title"].split()[1] for item in output.records["tree_item_index"]} == people


@pytest.mark.parametrize("name", ["space_keys", "exclude_space_keys"])
def test_an_unknown_key_among_many_is_named_by_check_and_read(personal: Server, name: str) -> None:
    keys = [space["key"] for space in personal.site.records("spaces")]
    config = config_for(personal, **{name: [*keys[:420], "NOSUCH"]})
    assert "has the key NOSUCH." in connector("check", config).connection["message"]
    output = connector("read", config, select=["space"])
    assert output.exit_code == 1
    assert output.records == {}
    assert "has the key NOSUCH." in output.stderr
