"""A read with faults returns every record once, or fails with a message and loses nothing.

`make faults` tries all faults and writes the table in docs/promises.md.
"""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import yaml

from common.connector import ROOT, Output, config_for, configured, connector, key_of
from common.files import options
from common.markdown import between_marks
from fake_confluence import Server, Site, company, generate
from source_confluence import source
from source_confluence.components import adapters, authenticator, requester
from unit_tests.clock import Clock
from unit_tests.faults import FAMILIES, FAULTS, LISTS, V2, Family, Fault, Scene, reset_time, retry_date
from unit_tests.runners import with_the_declarative_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

PAGE = ROOT / "docs" / "promises.md"
LONGEST_READ = 600.0  # seconds of real time; a longer read is taken to be endless
TASKS, GROUP = f"{V2}/tasks", "/wiki/rest/api/group"


def small_site() -> Site:
    """Return the company with few labels, and lists of three pages or more in every family."""
    site = company()
    site.collections["labels"] = [
        label for label in site.records("labels") if len(label["_contentSpaces"]) > 1
    ][:6]
    for page in site.records("pages")[:6]:
        page["_labels"] = [site.records("labels")[0]["id"]]
    for collection in ("page_properties", "tree_items"):
        for _ in range(5):
            site.add(collection, {**site.records(collection)[0], "id": site.new_id()})
    for page in site.records("pages"):  # so that a deleted page has missing children
        site.add(
            "page_properties",
            {**site.records("page_properties")[0], "id": site.new_id(), "_pageId": page["id"]},
        )
    return site


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Shorten the timeouts of the manifest and the package from minutes to two seconds."""
    text = source.MANIFEST.read_text(encoding="utf-8")
    assert "read_timeout_in_seconds: 120" in text
    with TemporaryDirectory() as directory:
        manifest = Path(directory) / "manifest.yaml"
        text = text.replace("read_timeout_in_seconds: 120", "read_timeout_in_seconds: 2")
        manifest.write_text(text, encoding="utf-8")
        with patch.object(source, "MANIFEST", manifest), patch.object(adapters, "RESPONSE_SECONDS", 2):
            yield


class Stage:
    """The sites on which the faults run, one after the other."""

    def __init__(self) -> None:
        self.server = Server(small_site(), max_page=2)
        self.other = Server(company(small=True), token="of-another-site")
        self.log = io.StringIO()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the sites, and read once without a fault."""
        for handler in logging.getLogger().handlers:
            if type(handler) is logging.StreamHandler:  # the CDK's, with the stdout of import time
                self._open.callback(handler.setStream, handler.setStream(self.log) or handler.stream)
        self._open.enter_context(self.server)
        self._open.enter_context(self.other)
        self.config = config_for(self.server, space_keys=["ENG", "ds"])
        streams = [family.stream for family in FAMILIES.values()]
        self.whole = self._read(streams)
        assert (self.whole.exit_code, self.whole.errors) == (0, [])
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the sites."""
        self._open.close()

    def run(self, fault: Fault) -> tuple[dict[str, str], float]:
        """Read with a fault, and read the failed streams again without it.

        Returns:
            How each family ended, and the longest wait for one request.

        Raises:
            AssertionError: A stream ended in a way that is not allowed.
        """
        families = [FAMILIES[name] for name in fault.families]
        with Clock() as clock:
            self.inject(fault, families, clock)
            self.log.seek(0)
            self.log.truncate()
            with short_timeouts() if fault.timed else nullcontext():
                first = self._read([family.stream for family in families])
            log = self.log.getvalue()
        self.server.heal()
        assert not [request for request in self.other.log if "authorization" in request.headers]
        self.other.log.clear()
        failed = [family.stream for family in families if first.statuses.get(family.stream) != "COMPLETE"]
        again = self._read(failed, state=first.state) if failed else Output()
        ends = {name: verdict(FAMILIES[name], self.whole, first, log, again) for name in fault.families}
        return ends, max(clock.waited.values(), default=0.0)

    def inject(self, fault: Fault, families: Iterable[Family], clock: Clock) -> None:
        """Inject a fault into families."""
        for family in families:
            fault.inject(Scene(self.server, self.other, clock, family))

    def _read(self, streams: list[str], state: Any = None) -> Output:
        """Read incrementally, with a time limit."""
        found: list[Output] = []
        read = partial(connector, "read", self.config, select=streams, state=state, incremental=True)
        thread = threading.Thread(target=lambda: found.append(read()), daemon=True)
        thread.start()
        thread.join(LONGEST_READ)
        if not found:
            self.server.close()
            raise AssertionError(f"{', '.join(streams)}: no end after {LONGEST_READ:.0f} s")
        self.server.log.clear()
        return found[0]


def verdict(family: Family, whole: Output, first: Output, log: str, again: Output) -> str:
    """Return how a read ended: "reads on", "skips" or "fails".

    Args:
        family: The family whose stream is judged.
        whole: A read without faults.
        first: The read with the fault.
        log: The log of that read.
        again: The next read, of the streams that failed.

    Raises:
        AssertionError: Records are missing without an error, come twice, or are still missing after the next read.
    """
    stream = family.stream
    wanted = {key_of(stream, record) for record in whole.records[stream]}
    got = Counter(key_of(stream, record) for record in first.records[stream])
    if first.statuses[stream] == "COMPLETE":
        assert set(got.values()) <= {1}, f"{stream}: duplicate records"
        missing = [record for record in whole.records[stream] if key_of(stream, record) not in got]
        if missing:
            assert family.below, f"{stream}: {len(missing)} records are missing, but the status is COMPLETE"
            lines = re.findall(rf"{stream}: a parent was skipped.*?(http[^ ]+?)\"", log)
            named = {number for line in lines for number in re.findall("/([0-9]+)", line)}
            assert {record[family.below] for record in missing} <= named, f"{stream}: the log names {named}"
        return "skips" if missing else "reads on"
    assert first.exit_code == 1, f"{stream}: failed with exit code {first.exit_code}"
    errors = [
        m["trace"]["error"] for m in first.messages if m["type"] == "TRACE" and m["trace"]["type"] == "ERROR"
    ]
    sentences = [
        error["message"] for error in errors if (error.get("stream_descriptor") or {}).get("name") == stream
    ]
    assert sentences, f"{stream}: failed without a message"
    for sentence in sentences:
        ours = sentence.partition("Confluence says:")[0]
        assert not re.search(r"Traceback|Exception|Error\(|object at 0x|<|HTTP Status Code", ours), sentence
        assert re.match(r"\S.*[.]$", sentence, re.DOTALL), sentence
    assert "Traceback" not in first.stderr
    assert again.exit_code == 0, again.errors
    assert again.statuses[stream] == "COMPLETE"
    lost = wanted - got.keys() - {key_of(stream, record) for record in again.records[stream]}
    assert not lost, f"{stream}: {len(lost)} of {len(wanted)} records are in neither read"
    return "fails"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(company(small=True), max_page=2) as server:
        yield server


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        every = metafunc.config.getoption("all_faults")
        chosen = [pytest.param(f, id=f.name) for f in FAULTS if every or not f.covered]
        metafunc.parametrize("fault", chosen)


@pytest.fixture(scope="module")
def waited() -> dict[str, float]:
    """Collect the longest wait for one request with each fault."""
    return {}


def test_a_read_returns_every_record_or_fails(stage: Stage, waited: dict[str, float], fault: Fault) -> None:
    ends, seconds = stage.run(fault)
    assert ends == dict.fromkeys(fault.families, fault.ends)
    waited[fault.name] = seconds


def test_the_documentation_shows_the_result_of_every_fault(waited: dict[str, float]) -> None:
    """Compare the table with the faults; write it first if all of them ran."""
    if waited.keys() == {fault.name for fault in FAULTS}:
        head = "| | A read | Cannot happen in | waited |\n|:--|:--|:--|--:|\n"
        rows = [f"{table_row(fault)} {waited[fault.name]:.0f} s |\n" for fault in FAULTS]
        text = between_marks(PAGE.read_text(encoding="utf-8"), "faults", head + "".join(rows))
        PAGE.write_text(text, encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    assert [fault.name for fault in FAULTS if f"\n{table_row(fault)}" not in page] == [], "run `make faults`"


def table_row(fault: Fault) -> str:
    """Return the row of a fault, without its wait."""
    others = [name for name in FAMILIES if name not in fault.families]
    return f"| {fault.name} | {fault.ends} | {', '.join(others)} |"


# ------------------------------------------------------------------ waits


@pytest.mark.parametrize("inject", [retry_date, reset_time])
def test_a_read_waits_until_a_given_time(
    server: Server, clock: Clock, inject: Callable[[Scene], None]
) -> None:
    inject(Scene(server, server, clock, FAMILIES["v1"]))
    output = connector("read", config_for(server), select=["group"])
    assert output.exit_code == 0
    assert 20 < max(clock.waited.values()) <= 47


def test_a_wait_of_more_than_an_hour_fails(server: Server, clock: Clock) -> None:
    server.fail(GROUP, status=429, headers={"Retry-After": "3700"}, after=1)
    output = connector("read", config_for(server), select=["group"])
    assert output.exit_code == 1
    assert "asks to wait for more than an hour" in output.errors[0]
    assert not clock.waited


def test_the_error_for_an_endless_rate_limit_says_what_to_do(server: Server, clock: Clock) -> None:
    server.fail(GROUP, status=429, headers={"Retry-After": "1"}, times=None)
    output = connector("read", config_for(server), select=["group"])
    assert "Lower num_workers" in output.errors[0]
    assert 60 < max(clock.waited.values(), default=0) < 600


def test_pages_get_smaller_until_confluence_can_return_them(server: Server, clock: Clock) -> None:
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


@pytest.mark.parametrize("status", [500, 504])
def test_a_stream_gives_up_after_many_failed_parents(clock: Clock, status: int) -> None:
    with Server(generate(pages=300, spaces=2)) as server:
        server.fail("/properties", status=status, times=None)
        output = connector("read", config_for(server), select=["page_properties", "space"])
        requested = len(server.requests_to("/properties"))
    assert output.statuses == {"page_properties": "INCOMPLETE", "space": "COMPLETE"}
    assert any("the rest of the stream was not read" in sentence for sentence in output.errors)
    assert requested <= (requester.GIVE_UP_AFTER + 10) * (12 if status == 504 else 8)
    assert max(clock.waited.values(), default=0) < 600


def test_one_page_that_always_fails_does_not_stop_the_others(clock: Clock) -> None:
    with Server(generate(pages=60, spaces=2)) as server:
        server.fail(f"{V2}/pages/1000007[?]", status=500, times=None)
        output = connector("read", config_for(server), select=["rendered_pages"])
    assert output.statuses == {"rendered_pages": "INCOMPLETE"}
    assert len(output.records["rendered_pages"]) == 59
    assert len(clock.waited) == 1


@pytest.mark.parametrize("how", ["hang", "drip head"])
def test_a_token_endpoint_that_does_not_respond_fails_the_check(
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
    status = connector("check", config).connection
    assert status["status"] == "FAILED"
    assert "did not return an access token in time" in status["message"]
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


# ------------------------------------------------------------------ the manifest without the package

# The faults that are easiest to mistake for the end of a list. Invalid UTF-8 is not noticed in responses without
# pages: docs/promises.md says so.
ALONE = {
    "credential revoked during the read": FAMILIES,
    "half of every body, with its own length": FAMILIES,
    "invalid UTF-8 in every body": LISTS,
    "next: without a cursor": LISTS,
}


@pytest.mark.parametrize("name", ALONE)
def test_the_manifest_without_the_package_fails_and_loses_nothing(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    families = [FAMILIES[family] for family in ALONE[name]]
    with Clock() as clock:
        stage.inject(fault, families, clock)
    output = alone(tmp_path, {**stage.config, "_max_retries": 0}, [family.stream for family in families])
    stage.server.heal()
    stage.server.log.clear()
    assert output.exit_code == 1
    for family in families:
        assert output.statuses[family.stream] == "INCOMPLETE", family.stream


def test_the_manifest_without_the_package_loses_no_change_where_a_list_of_spaces_fails(
    tmp_path: Path,
) -> None:
    """The first groups are read while the rest of the spaces is not yet known."""
    with Server(generate(pages=120, spaces=80)) as server:
        config = config_for(server, _max_retries=2)  # which take the time in which the groups are read
        first = alone(tmp_path, config, ["pages"], [])
        for page in list(server.site.records("pages")):
            server.site.tick(60)
            server.site.edit_page(page["id"], title="Edited")
        server.fail("/spaces.*archived", times=None, status=500)
        failed = alone(tmp_path, config, ["pages"], first.state)
        assert failed.statuses == {"pages": "INCOMPLETE"}
        server.heal()
        last = alone(tmp_path, config, ["pages"], failed.state or first.state)
    edited = {
        page["id"] for each in (failed, last) for page in each.records["pages"] if page["title"] == "Edited"
    }
    assert len(edited) == 120


def alone(directory: Path, config: dict[str, Any], streams: list[str], state: Any = None) -> Output:
    """Read with Airbyte's declarative runner and the manifest, without this project's package."""
    manifest = yaml.safe_load(source.MANIFEST.read_text(encoding="utf-8"))
    manifest["streams"] = [each for each in manifest["streams"] if each["$ref"].rpartition("/")[2] in streams]
    (directory / "manifest.yaml").write_text(json.dumps(manifest), encoding="utf-8")  # JSON is YAML
    options(directory, config=config)
    catalog = {"streams": [configured(name, incremental=state is not None) for name in streams]}
    output = with_the_declarative_runner(directory, catalog=catalog, state=state)
    assert output.other == []
    return output
