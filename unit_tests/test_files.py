"""Downloaded files: what is stored, what is skipped and why, retries, and cost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airbyte_cdk.sources.utils import files_directory

from benchmarks.goals import goals
from benchmarks.report import failures
from benchmarks.runner import run_all
from benchmarks.workloads import files as files_of
from common.connector import ROOT, Output, config_for, configured, connector
from fake_confluence import Server, Site, company
from fake_confluence.media import file_of
from source_confluence.components import adapters
from unit_tests.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_confluence import Request

DOWNLOAD = "/wiki/rest/api/content/{id}/child/attachment/{attachmentId}/download"
SENT = "/binary"  # in the URL of a request to the file host
NAME = "attachment_files"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store files in a temporary folder."""
    monkeypatch.setattr("airbyte_cdk.sources.utils.files_directory.AIRBYTE_STAGING_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(company(small=True)) as running, Clock():
        keep(running.site, 3)
        yield running


def keep(site: Site, count: int) -> list[dict[str, Any]]:
    """Keep only the newest current attachments of a site, and return them."""
    newest = sorted(site.records("attachments"), key=lambda each: each["version"]["createdAt"], reverse=True)
    kept = [each for each in newest if each["status"] == "current"][:count]
    for each in list(site.records("attachments")):
        if each not in kept:
            site.remove("attachments", each["id"])
    return kept


def read(server: Server, state: Any = None, **config: Any) -> Output:
    return connector("read", config_for(server, **config), select=[NAME], state=state, incremental=True)


def files(output: Output) -> dict[str, bytes | None]:
    """Return the stored files by the id of the attachment; None for a record without a file."""
    found: dict[str, bytes | None] = {}
    for message in output.messages:
        if message["type"] == "RECORD":
            record = message["record"]
            reference = record.get("file_reference")
            found[record["data"]["id"]] = reference and Path(reference["staging_file_url"]).read_bytes()
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def on_disk(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- Stored files


def test_files_are_stored_under_the_id_and_the_title(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Server(company(small=True)) as server:
        output = read(server)
        held = [a for a in server.site.records("attachments") if a["status"] in ("current", "archived")]
    assert {each["status"] for each in held} == {"current", "archived"}
    assert output.statuses == {NAME: "COMPLETE"}
    assert warnings(caplog) == []
    assert files(output) == {each["id"]: file_of(each) for each in held}
    assert on_disk(folder) == {f"{NAME}/{each['id']}/{each['title']}" for each in held}


def test_the_local_folder_is_made(folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    local = folder / "a" / "local"
    monkeypatch.setattr(files_directory, "AIRBYTE_STAGING_DIRECTORY", str(folder / "none"))
    monkeypatch.setattr(files_directory, "DEFAULT_LOCAL_DIRECTORY", str(local))
    assert read(server).exit_code == 0
    assert len(on_disk(local)) == 3


def test_a_record_refers_to_its_file(folder: Path, server: Server) -> None:
    messages = [m["record"] for m in read(server).messages if m["type"] == "RECORD"]
    for record in messages:
        data, reference = record["data"], record["file_reference"]
        relative = f"{NAME}/{data['id']}/{data['title']}"
        assert reference["source_file_relative_path"] == relative
        assert reference["staging_file_url"] == str(folder / relative)
        assert reference["file_size_bytes"] == data["fileSize"]
    assert len(messages) == 3


TITLES = {
    "../../../../escaped.txt": "__.._.._.._escaped.txt",
    "/etc/passwd": "_etc_passwd",
    "..": "_",
    ".": "_",
    "": "file",
    " ": "_",
    ".hidden": "_hidden",
    "C:\\plans\\a*b?.doc": "C__plans_a_b_.doc",
    "two\nlines\0.txt": "two_lines_.txt",
    "x" * 300 + ".pdf": "x" * 56 + ".pdf",
    "航海試験" * 90 + ".pdf": ("航海試験" * 14) + ".pdf",
    "\U0001f6a2" * 100 + ".png": "\U0001f6a2" * 56 + ".png",
    "議事録 2026年.docx": "議事録 2026年.docx",
    "हिन्दी (1).pdf": "हिन्दी (1).pdf",
    "{{ config['api_token'] }}.txt": "{{ config['api_token'] }}.txt",
}


@pytest.mark.parametrize("title", TITLES)
def test_a_title_becomes_a_file_name_inside_the_folder(folder: Path, server: Server, title: str) -> None:
    (attachment, *_) = keep(server.site, 1)
    server.site.edit("attachments", attachment["id"], title=title)
    output = read(server)
    assert on_disk(folder) == {f"{NAME}/{attachment['id']}/{TITLES[title]}"}
    assert files(output) == {attachment["id"]: file_of(attachment)}
    assert output.records[NAME][0]["title"] == title


def test_equal_titles_do_not_overwrite_one_another(folder: Path, server: Server) -> None:
    held = server.site.records("attachments")
    for each in held:
        server.site.edit("attachments", each["id"], title="same.pdf")
    assert files(read(server)) == {each["id"]: file_of(each) for each in held}
    assert len(on_disk(folder)) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff\xe0 not UTF-8",
        b'{"statusCode": 404, "message": "x"}',
        b"<html></html>",
        b'{"results": 1}',
    ],
)
@pytest.mark.usefixtures("folder")
def test_the_content_of_a_file_is_stored_unchanged(server: Server, content: bytes) -> None:
    (attachment, *_) = keep(server.site, 1)
    attachment["_file"] = content
    assert files(read(server)) == {attachment["id"]: content}


@pytest.mark.usefixtures("folder")
def test_the_file_host_gets_no_credential(server: Server) -> None:
    read(server)
    assert len(server.media.log) == 3
    assert all("authorization" not in request.headers for request in server.media.log)
    assert all("authorization" in request.headers for request in server.requests_to(DOWNLOAD))


@pytest.mark.usefixtures("folder")
def test_files_are_downloaded_through_the_gateway(server: Server) -> None:
    scopes = ["read:attachment:confluence", "readonly:content.attachment:confluence"]
    token = {"auth_type": "scoped_api_token", "email": server.email, "api_token": server.scoped_token(scopes)}
    config = {"domain_name": server.url, "credentials": {**token, "cloud_id": server.cloud_id}}
    output = connector("read", config, select=[NAME])
    assert files(output) == {each["id"]: file_of(each) for each in server.site.records("attachments")}


# ---------------------------------------------------------------- Skipped files


def test_a_file_above_the_limit_is_logged_and_its_record_is_read(
    folder: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    large, small, _ = server.site.records("attachments")
    server.site.edit("attachments", large["id"], fileSize=1_000_001)
    server.site.edit("attachments", small["id"], fileSize=1_000_000)
    output = read(server, max_file_mb=1)
    assert [name for name, content in files(output).items() if content is None] == [large["id"]]
    (warning,) = warnings(caplog)
    assert (
        warning == f"No file for {large['id']} ({large['title']}): it has 1.0 MB, more than max_file_mb (1)."
    )
    assert len(on_disk(folder)) == 2


def test_nothing_is_downloaded_when_the_catalog_excludes_files(folder: Path, server: Server) -> None:
    catalog = {"streams": [{**configured(NAME), "include_files": False}]}
    output = connector("read", config_for(server), catalog=catalog)
    assert list(files(output).values()) == [None, None, None]
    assert (server.requests_to(DOWNLOAD), server.media.log, on_disk(folder)) == ([], [], set())


def test_a_check_downloads_nothing(folder: Path, server: Server) -> None:
    output = connector("check", config_for(server))
    assert output.connection["status"] == "SUCCEEDED"
    assert server.requests_to("/wiki/api/v2/attachments")
    assert (server.requests_to(DOWNLOAD), server.media.log, on_disk(folder)) == ([], [], set())


def deleted(server: Server, attachment: dict[str, Any]) -> str:
    server.before(
        f"{attachment['id']}/download",
        lambda _: server.site.set_status("attachments", attachment["id"], "trashed"),
    )
    return "No attachment with id"


def refused(server: Server, attachment: dict[str, Any]) -> str:
    server.deny(f"{attachment['id']}/download", 403, "Not yours")
    return "Not yours"


def lost(server: Server, attachment: dict[str, Any]) -> str:
    body = b'{"error":{"title":"There is no such file"}}'
    server.fail(f"/file/{attachment['fileId']}/", status=404, body=body, times=None)
    return "There is no such file"


@pytest.mark.parametrize("happens", [deleted, refused, lost])
def test_a_missing_or_refused_file_skips_only_itself(
    folder: Path,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    happens: Callable[[Server, dict[str, Any]], str],
) -> None:
    without, *others = server.site.records("attachments")
    words = happens(server, without)
    output = read(server)
    assert output.statuses == {NAME: "COMPLETE"}
    assert files(output) == {without["id"]: None} | {each["id"]: file_of(each) for each in others}
    messages = [line for line in warnings(caplog) if line.startswith("No file for")]
    assert len(messages) == 1
    assert messages[0].startswith(f"No file for {without['id']} ({without['title']}): ")
    assert words in messages[0]
    assert len(on_disk(folder)) == 2


# ---------------------------------------------------------------- Failures and retries


FAULTS: dict[str, Callable[[Server], object]] = {
    "429 from Confluence": lambda s: s.fail("/download", status=429, headers={"Retry-After": "1"}, times=2),
    "429 from the host of files": lambda s: s.fail(SENT, status=429, headers={"Retry-After": "1"}, times=2),
    "503 from Confluence": lambda s: s.fail("/download", status=503, times=2),
    "500 from the host of files": lambda s: s.fail(SENT, status=500, times=2),
    "cut body": lambda s: s.fail(SENT, how="cut", times=2),
    "reset body": lambda s: s.fail(SENT, how="reset body", times=2),
    "dropped": lambda s: s.fail(SENT, how="drop", times=2),
    "a byte at a time": lambda s: s.fail(SENT, how="drip", seconds=0.01),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_request_is_retried(
    folder: Path, server: Server, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "FILE_SECONDS", 0.5)
    FAULTS[fault](server)
    output = read(server)
    assert output.statuses == {NAME: "COMPLETE"}
    assert files(output) == {each["id"]: file_of(each) for each in server.site.records("attachments")}
    assert len(on_disk(folder)) == 3


def test_the_documentation_lists_the_faults_of_downloads() -> None:
    page = (
        (ROOT / "docs" / "promises.md")
        .read_text(encoding="utf-8")
        .partition("## Files of attachments")[2]
        .partition("\n## ")[0]
    )
    survived = re.findall(r"^\| (.+) \| arrive \|$", page, re.MULTILINE)
    assert survived == [*FAULTS, "an address that expired before its use"]


@pytest.mark.usefixtures("folder")
def test_an_expired_signed_url_is_replaced(server: Server) -> None:
    expired: list[Request] = []

    def expire(request: Request) -> None:
        if not expired:
            server.media.expire()
            expired.append(request)

    (attachment, *_) = keep(server.site, 1)
    server.before(SENT, expire)
    assert files(read(server)) == {attachment["id"]: file_of(attachment)}
    assert [request.status for request in server.media.log] == [403, 200]


def test_the_stream_fails_if_the_file_host_fails(folder: Path, server: Server) -> None:
    server.fail(SENT, status=500, times=None)
    output = read(server, _max_retries=1)
    assert output.statuses == {NAME: "INCOMPLETE"}
    assert output.errors[0].startswith("Confluence failed to respond (5xx).")
    assert on_disk(folder) == set()


def test_the_log_shows_no_signed_address(folder: Path, server: Server) -> None:
    server.media.url = "http://127.0.0.1:1"
    output = read(server, _max_retries=1)
    assert output.statuses == {NAME: "INCOMPLETE"}
    assert "Cannot connect to 127.0.0.1:1." in output.errors[0]
    assert "token=" not in json.dumps(output.messages) + output.stderr
    assert on_disk(folder) == set()


def test_the_stream_fails_if_the_disk_is_not_writable(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    place = "airbyte_cdk.sources.utils.files_directory."
    monkeypatch.setattr(place + "AIRBYTE_STAGING_DIRECTORY", str(tmp_path / "missing"))
    monkeypatch.setattr(place + "DEFAULT_LOCAL_DIRECTORY", str(tmp_path / "file" / "below"))
    output = read(server)
    assert output.statuses == {NAME: "INCOMPLETE"}
    assert output.errors[0].startswith("Files cannot be written")


# ---------------------------------------------------------------- Cost


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_cut_in_every_try_is_tried_again_in_the_next_sync(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    oldest, *others = sorted(server.site.records("attachments"), key=lambda a: a["version"]["createdAt"])
    server.fail(f"/file/{oldest['fileId']}/", how="cut", times=None)
    first = read(server, _max_retries=1)
    assert (first.exit_code, first.statuses) == (0, {NAME: "COMPLETE"})
    assert files(first) == {oldest["id"]: None, **{each["id"]: file_of(each) for each in others}}
    (said,) = [warning for warning in warnings(caplog) if "No file for" in warning]
    assert f"{oldest['id']} ({oldest['title']})" in said
    assert said.endswith("The connection to Confluence was interrupted repeatedly. Try again later.")

    second = read(server, state=first.state, _max_retries=1)
    assert files(second)[oldest["id"]] is None
    grown = server.site.get("attachments", oldest["id"])
    size, grown["fileSize"] = grown["fileSize"], 1_000_000_000
    too_large = read(server, state=second.state)
    assert files(too_large)[oldest["id"]] is None
    assert oldest["id"] not in files(read(server, state=too_large.state))
    grown["fileSize"] = size

    server.heal()
    third = read(server, state=second.state)
    assert files(third)[oldest["id"]] == file_of(oldest)
    fourth = read(server, state=third.state)
    assert oldest["id"] not in files(fourth)
    server.site.edit("attachments", oldest["id"])  # the list has it too
    other = read(server, state=first.state)
    assert [each["id"] for each in other.records[NAME]].count(oldest["id"]) == 1


@pytest.mark.usefixtures("folder")
def test_a_file_that_was_cut_before_its_space_was_left_out_is_left_out() -> None:
    with Server(company(small=True)) as server:
        site = server.site
        people = next(space["id"] for space in site.records("spaces") if space["key"] == "PEOPLE")
        pages = {page["id"] for page in site.records("pages") if page["spaceId"] == people}
        hidden = next(a for a in site.records("attachments") if a.get("pageId") in pages)
        server.fail(f"/file/{hidden['fileId']}/", how="cut", times=None)
        first = read(server, _max_retries=1)
        assert hidden["id"] in json.dumps(first.state)
        server.heal()
        output = read(server, state=first.state, exclude_space_keys=["PEOPLE"])
        assert (output.exit_code, output.statuses) == (0, {NAME: "COMPLETE"})
        assert hidden["id"] not in json.dumps(output.messages)


@pytest.mark.usefixtures("folder")
def test_only_changed_files_are_downloaded_again(server: Server) -> None:
    changed, _, newest = sorted(server.site.records("attachments"), key=lambda a: a["version"]["createdAt"])
    first = read(server)
    server.media.log.clear()
    server.site.edit("attachments", changed["id"], fileSize=77)
    second = read(server, state=first.state)
    # The newest one is within the lookback window of ten minutes.
    assert files(second) == {each["id"]: file_of(each) for each in (changed, newest)}
    assert len(server.media.log) == 2
    server.media.log.clear()
    third = read(server, state=second.state)
    assert files(third) == {changed["id"]: file_of(changed)}


def test_memory_does_not_grow_with_the_file_size() -> None:
    results = dict(run_all(files_of(60)))
    assert failures(results) is None
    one, four = goals(results)
    assert {one.row[-1], four.row[-1]} == {"yes"}
