"""Tests of the connector from outside, on the embedded site: the CDK's standard tests and `make live`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from common.connector import ROOT, config_for
from fake_confluence import Server, company

FILES = ("acceptance-test-config.yml", "integration_tests", "metadata.yaml", "source_confluence")
# These build and run the connector's image, which needs a container registry.
NOT_HERE = "not image_tests"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run `airbyte-cdk connector test` with a secrets/config.json that names the embedded site."""
    root = tmp_path_factory.mktemp("standard") / "source-confluence"
    (root / "secrets").mkdir(parents=True)
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    with Server(company(small=True)) as site:
        types = sorted({record["type"] for record in site.site.records("custom_content")})
        config = config_for(site, custom_content_types=types)
        (root / "secrets" / "config.json").write_text(json.dumps(config))
        command = str(Path(sys.executable).with_name("airbyte-cdk"))
        ran = subprocess.run(
            [command, "connector", "test", str(root), "--pytest-arg=-m", f"--pytest-arg={NOT_HERE}"],
            capture_output=True,
            check=False,
            text=True,
        )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "will fail this test in a future CDK release" not in ran.stdout, ran.stdout[-8000:]
    report = ET.parse(root / "build" / "test-results" / "standard-tests-junit.xml")  # noqa: S314 - our own
    return {
        case.attrib["name"]: next((outcome.tag for outcome in case if outcome.tag != "system-out"), "passed")
        for case in report.iter("testcase")
    }


@pytest.mark.parametrize(
    "test",
    [
        "test_spec",
        "test_config_matches_spec['config' Test Scenario]",
        "test_check['config' Test Scenario]",
        "test_check['invalid_config' Test Scenario]",
        "test_discover['config' Test Scenario]",
        "test_basic_read['config' Test Scenario]",
        "test_fail_read_with_bad_catalog['config' Test Scenario]",
    ],
)
def test_a_standard_test_passes(results: dict[str, str], test: str) -> None:
    assert results[test] == "passed"


# ------------------------------------------------------------------ your own site


def live(config: Path, select: str, *, fails: bool = False) -> str:
    """Run `make live` for some streams, and return what it prints."""
    recipe = re.findall(r"^live: .+\n\t\$\(BIN\)/python (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    ran = subprocess.run(
        [sys.executable, *recipe[0].split(), "-k", select],
        cwd=ROOT,
        env={**os.environ, "CONFLUENCE_CONFIG": str(config), "COLUMNS": "500"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ran.returncode != 0) == fails, ran.stdout
    return ran.stdout


AGREE = r"^(\d+) of (\d+) pairs of a person and a page agree with Confluence$"


def test_make_live_verifies_a_site_and_names_what_it_could_not_verify(tmp_path: Path) -> None:
    def rename(body: bytes) -> bytes:
        page = json.loads(body)
        for record in page["results"]:
            record["owner"] = {"id": record.pop("ownerId")}
        return json.dumps(page).encode()

    with Server(company(small=True)) as site:
        site.deny("/audit")
        del site.site.collections["spaces"][2:]  # two current ones are left, without a guest or a cut list
        site.fail(r"/api/v2/pages\?.*body-format", body=rename, times=None)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config_for(site)))
        printed = live(
            path,
            "connection or discovered or [pages] or [page_likes] or [audit] or [custom_content] or recipe",
        )
        assert {request.method for request in site.requests_to("/permission/check")} == {"POST"}
    assert "6 passed, 2 skipped" in printed
    assert re.search(r"^SKIPPED .+ audit: .*Confluence administrator", printed, re.MULTILINE)
    assert re.search(r"^SKIPPED .+ custom_content: no records$", printed, re.MULTILINE)
    assert re.search(r"^pages: no schema declares owner$", printed, re.MULTILINE)
    assert re.search(r"^pages: null or absent in \d+ records: (.+, )?ownerId\b", printed, re.MULTILINE)
    assert not re.search(r"^page_likes: ", printed, re.MULTILINE)
    ((agreed, asked),) = re.findall(AGREE, printed, re.MULTILINE)
    assert agreed == asked


def test_make_live_fails_if_confluence_refuses_a_page_that_the_recipe_shows(tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        del site.site.collections["spaces"][2:]  # two current ones are left
        site.fail("/permission/check", body=b'{"hasPermission": false}', times=None)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config_for(site)))
        printed = live(path, "recipe", fails=True)
    ((agreed, asked),) = re.findall(AGREE, printed, re.MULTILINE)
    assert int(agreed) < int(asked)
    assert "shown, and Confluence refuses them" in printed


def test_make_live_without_a_configuration_says_where_to_write_one(tmp_path: Path) -> None:
    printed = live(tmp_path / "none.json", "pages")
    assert "passed" not in printed
    assert f"there is no {tmp_path / 'none.json'}: see CONTRIBUTING.md" in printed
