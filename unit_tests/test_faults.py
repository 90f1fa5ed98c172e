"""A read under faults ends with every record once, or fails with a sentence and loses nothing."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_confluence import Server, company, generate
from source_confluence import source
from source_confluence.components import authenticator, requester
from tools.faults import (
    FAMILIES,
    FAULTS,
    LISTS,
    PAGE,
    V2,
    Clock,
    Fault,
    Scene,
    Stage,
    reset_time,
    retry_date,
    table_row,
)
from unit_tests.conftest import Output, config_for, configured, connector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASKS, GROUP = f"{V2}/tasks", "/wiki/rest/api/group"
# Where another row goes through the same lines; `python -m tools.faults` runs these too.
ONLY_ON_THE_PAGE = {
    "429, Retry-After in seconds",
    "429, Retry-After: 0",
    "429, Retry-After of a day",
    "429 on every request",
    "502 with a web page",
    "200 without a body",
    "a body longer than its length",
    "reset in the body",
    "404 that names what is missing",
    "429 without Retry-After",
    "429, Retry-After of 50 minutes",
    "500 once",
    "503 with Retry-After",
    "504 on every request",
    "an unknown status (530)",
    "dropped before the response",
    "reset before every response",
    "closed in every body",
    "closed in the header",
    "half of every body, with its own length",
    "not gzip, although declared",
    "200 without a body, every time",
    "next: the same page",
    "next: http:",
    "next: //evil",
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(company(), max_page=2) as server:
        yield server


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f.name) for f in FAULTS if f.name not in ONLY_ON_THE_PAGE]
)
def test_a_read_ends_with_every_record_or_fails(stage: Stage, fault: Fault) -> None:
    ends, _ = stage.run(fault)
    assert ends == dict.fromkeys(fault.families, fault.ends)


def test_the_page_shows_how_every_fault_ends() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for fault in FAULTS:
        row = table_row(fault, dict.fromkeys(fault.families, fault.ends))
        assert f"\n{row}" in page, "run `python -m tools.faults`"


# ------------------------------------------------------------------ how long is waited


@pytest.mark.parametrize("order", [retry_date, reset_time])
def test_a_moment_is_waited_for(server: Server, clock: Clock, order: Callable[[Scene], None]) -> None:
    order(Scene(server, server, clock, FAMILIES["v1"]))
    output = connector("read", config_for(server), select=["group"])
    assert output.exit_code == 0
    assert 20 < max(clock.waited.values()) <= 47


def test_more_than_an_hour_is_not_waited_for(server: Server, clock: Clock) -> None:
    server.fail(GROUP, status=429, headers={"Retry-After": "3700"}, after=1)
    output = connector("read", config_for(server), select=["group"])
    assert output.exit_code == 1
    assert "asks to wait for more than an hour" in output.errors[0]
    assert not clock.waited


def test_a_rate_limit_without_end_says_what_to_do(server: Server, clock: Clock) -> None:
    server.fail(GROUP, status=429, headers={"Retry-After": "1"}, times=None)
    output = connector("read", config_for(server), select=["group"])
    assert "Lower num_workers" in output.errors[0]
    assert 60 < max(clock.waited.values(), default=0) < 600


def test_pages_get_smaller_until_confluence_can_make_them(server: Server, clock: Clock) -> None:
    server.fail(r"/tasks\?.*limit=(250|125|62)\b", status=504, times=None)
    output = connector("read", config_for(server), select=["tasks"])
    assert output.exit_code == 0
    assert len(output.records["tasks"]) == len(server.site.records("tasks"))
    limits = [request.values("limit")[0] for request in server.requests_to(TASKS)]
    assert limits[:4] == ["250", "125", "62", "31"]
    assert set(limits[4:]) == {"31"}
    assert clock.waited


def test_a_check_does_not_wait_for_smaller_pages(server: Server, clock: Clock) -> None:
    server.fail(f"{V2}/spaces", status=504, times=None)
    assert connector("check", config_for(server)).connection["status"] == "FAILED"
    assert not clock.waited


def test_a_site_that_is_down_is_not_asked_for_every_page(clock: Clock) -> None:
    with Server(generate(pages=300, spaces=2)) as server:
        server.fail("/properties", status=500, times=None)
        output = connector("read", config_for(server), select=["page_properties", "space"])
        asked = len(server.requests_to("/properties"))
    assert output.statuses == {"page_properties": "INCOMPLETE", "space": "COMPLETE"}
    assert any("the rest of the stream was not read" in sentence for sentence in output.errors)
    assert asked <= (requester.GIVE_UP_AFTER + 10) * 8
    assert max(clock.waited.values(), default=0) < 600


def test_one_page_that_always_fails_does_not_stop_the_others(clock: Clock) -> None:
    with Server(generate(pages=60, spaces=2)) as server:
        server.fail(f"{V2}/pages/1000007[?]", status=500, times=None)
        output = connector("read", config_for(server), select=["rendered_pages"])
    assert output.statuses == {"rendered_pages": "INCOMPLETE"}
    assert len(output.records["rendered_pages"]) == 59
    assert len(clock.waited) == 1


@pytest.mark.parametrize("how", ["hang", "drip head"])
def test_a_token_endpoint_that_does_not_answer_fails_the_check(
    server: Server, clock: Clock, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "TOKEN_SECONDS", 0.5)
    app = server.service_account(["read:space:confluence"])
    server.fail("/oauth/token", how=how, seconds=0.05, times=None)
    credentials = {"auth_type": "service_account", "client_id": app.client_id, "cloud_id": server.cloud_id}
    config = {
        "domain_name": server.url,
        "credentials": {**credentials, "client_secret": app.client_secret},
    }
    assert connector("check", config).connection["status"] == "FAILED"
    assert max(clock.waited.values(), default=0) < 600


def test_a_site_that_refuses_connections_fails_every_family(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = {
            "email": "a@example.com",
            "api_token": "of-nobody",
            "domain_name": f"http://127.0.0.1:{taken.getsockname()[1]}",
        }
    streams = ["tasks", "pages", "page_labels", "group", "tree_item_index", "rendered_pages"]
    output = connector("read", config, select=streams)
    assert output.exit_code == 1
    assert output.statuses == dict.fromkeys(streams, "INCOMPLETE")
    assert all("Cannot connect to 127.0.0.1" in sentence for sentence in output.errors)
    assert max(clock.waited.values(), default=0) < 600


# ------------------------------------------------------------------ the manifest alone

# The faults that would be easiest to take for the end of a list. Bytes that are no UTF-8 are not noticed in
# what has no pages: docs/promises.md says so.
ALONE = {
    "credential revoked during the read": FAMILIES,
    "half of every body, with its own length": FAMILIES,
    "invalid UTF-8 in every body": LISTS,
    "next: without a cursor": LISTS,
}


@pytest.mark.parametrize("name", ALONE)
def test_the_manifest_alone_fails_rather_than_lose(stage: Stage, tmp_path: Path, name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    families = [FAMILIES[family] for family in ALONE[name]]
    with Clock() as clock:
        stage.order(fault, families, clock)
    output = alone(tmp_path, {**stage.config, "max_retries": 0}, [family.stream for family in families])
    stage.server.heal()
    stage.server.log.clear()
    assert output.exit_code == 1
    for family in families:
        assert output.statuses[family.stream] == "INCOMPLETE", family.stream


def alone(directory: Path, config: dict[str, Any], streams: list[str]) -> Output:
    """Read with Airbyte's declarative runner and nothing of this project but the manifest."""
    shutil.copy(source.MANIFEST, directory / "manifest.yaml")
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "catalog.json").write_text(json.dumps({"streams": [configured(name) for name in streams]}))
    command = [str(Path(sys.executable).with_name("source-declarative-manifest")), "read"]
    for option in ("manifest-path", "config", "catalog"):
        command += [f"--{option}", {"manifest-path": "manifest.yaml"}.get(option, f"{option}.json")]
    ran = subprocess.run(command, cwd=directory, capture_output=True, check=False, text=True, timeout=120)
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    return Output(messages=messages, exit_code=ran.returncode)
