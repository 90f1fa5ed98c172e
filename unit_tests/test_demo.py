"""What `make demo` produces: a database, recipes that return rows, and a report."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from common.connector import ROOT, STREAMS, config_for
from fake_confluence import Request, Server, company
from tools import demo, load, recipes, report
from tools.documents import documents
from tools.load import Stream
from unit_tests.access import page_of
from unit_tests.database import database
from unit_tests.warehouse import without_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = {**os.environ, "PYTHONPATH": str(ROOT)}
RECIPES = {recipe.name: recipe for recipe in recipes.recipes()}


class Page(HTMLParser):
    """The elements and the text of an HTML page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def printed(directory: Path) -> str:
    command = [sys.executable, "-m", "tools.demo", "--directory", str(directory)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def drawn(directory: Path, printed: str) -> Page:
    assert printed
    return Page((directory / "report.html").read_text(encoding="utf-8"))


def execute(file: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(query).fetchall()


# ------------------------------------------------------------------ the demo


def test_the_demo_ends_with_its_tables_a_query_result_and_the_report(directory: Path, printed: str) -> None:
    counts = dict(re.findall(r"^  (\w+) +(\d+)$", printed, re.MULTILINE))
    assert list(counts) == sorted(STREAMS)
    assert all(int(number) for number in counts.values())
    assert RECIPES["spaces_alive"].query in printed
    assert "│ ENG     │ Engineering" in printed
    (address,) = re.findall(r"file://(\S+)", printed.splitlines()[-1])
    assert address == str(directory / "report.html")


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES.values() if recipe.asks])
def test_a_recipe_is_a_view_with_a_result(directory: Path, printed: str, name: str) -> None:
    assert printed
    assert execute(directory / "confluence.duckdb", RECIPES[name].show)


def test_every_recipe_is_on_the_page() -> None:
    assert sorted(RECIPES) == sorted(path.stem for path in (ROOT / "recipes").iterdir())


def test_the_demo_writes_every_current_page_and_post_as_a_document(directory: Path, printed: str) -> None:
    assert printed
    lines = (directory / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    documents = {document["document_key"]: document for document in map(json.loads, lines)}
    current = """
        SELECT id, 'page' FROM pages JOIN page_index USING (id) WHERE page_index.status = 'current' UNION ALL
        SELECT id, 'blogpost' FROM blog_posts p JOIN blog_post_index i USING (id) WHERE i.status = 'current'"""
    found = {(document["document_key"], document["type"]) for document in documents.values()}
    assert found == set(execute(directory / "confluence.duckdb", current))
    assert all(document["content"] and document["may_see"] for document in documents.values())
    (shown,) = (d for d in documents.values() if d["title"] == "Contract terms")
    assert shown["path"].startswith("Sales / Sales Home / ")
    assert shown["url"].startswith("https://norrvik.example/wiki/spaces/SALES/pages/")
    assert len(shown["may_see"]) == 8


def test_the_demo_shows_downloaded_files(directory: Path, printed: str) -> None:
    shown = re.findall(r"^  (\S+)  ([\d,]+) bytes$", printed, re.MULTILINE)
    assert len(shown) == 3
    sizes = dict(execute(directory / "confluence.duckdb", "SELECT id, fileSize FROM attachment_files"))
    for name, size in shown:
        path = Path(name)
        assert path.is_relative_to(directory / "files" / "attachment_files")
        assert path.stat().st_size == int(size.replace(",", "")) == sizes[path.parent.name]
    assert f"{len(sizes)} files were downloaded" in printed


@dataclass
class Ran:
    """What a run of the demo prints, and its exit code."""

    code: int
    out: str
    err: str


def run(directory: Path, *arguments: str) -> Ran:
    """Run the demo with an own site, in this process; the connector is a process of its own."""
    out, err = io.StringIO(newline=None), io.StringIO(newline=None)
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(directory)
        patch.setattr(sys, "argv", ["demo", "--config", "config.json", *arguments])
        try:
            demo.main()
        except SystemExit as stop:
            code = stop.code
    if isinstance(code, str):  # as Python ends a process
        return Ran(1, out.getvalue(), f"{err.getvalue()}{code}\n")
    return Ran(code, out.getvalue(), err.getvalue())


@dataclass
class Own:
    """Two runs of the demo with an own site: of its cheap streams, then of four, one of which fails."""

    site: Server
    directory: Path
    first: Ran
    second: Ran


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    directory = tmp_path_factory.mktemp("own")
    with Server(company(small=True)) as site, without_processes():
        config = {**config_for(site), "domain_name": f"{site.url}/wiki"}
        (directory / "config.json").write_text(json.dumps(config))
        site.deny("/wiki/rest/api/audit")
        site.deny("/wiki/rest/api/audit/retention")
        first = run(directory, "--with", "page_restrictions", "--without", "tasks")
        page = site.site.records("pages")[0]
        site.site.tick(86_400.0)
        site.site.edit_page(page["id"], title="Edited since")
        site.site.collections["labels"][0].pop("id")
        yield Own(site, directory, first, run(directory, "pages", "space", "page_index", "labels"))


def test_a_refused_stream_is_named_with_the_reason_before_and_after(own: Own) -> None:
    ran = own.first
    assert (ran.code, ran.err) == (0, "")
    before, progress, after = re.split(r"^( +[\d,]+ records, .+)$", ran.out, maxsplit=1, flags=re.MULTILINE)
    assert "not for these streams: audit_retention, audit: " in before
    (failed,) = re.findall(r"^Not complete:\n  (.+)$", after, re.MULTILINE)
    assert failed.startswith("audit")
    assert "permission" in failed
    shown = re.findall(r"(\d+) of (\d+) streams complete", progress + after)
    complete, total = map(int, shown[-1])
    assert complete == total - 2
    tables = set(re.findall(r"^  (\w+) +\d+$", after, re.MULTILINE))
    costly = {name for name, stream in STREAMS.items() if demo.is_costly(stream)}
    assert tables == STREAMS.keys() - (costly - {"page_restrictions"}) - {"tasks"}
    pages = own.site.site.records("pages")
    assert re.search(rf"^  {len(pages)} requests: .*page_versions", after, re.MULTILINE)
    assert "Every sync reads in full: space, " in after


def test_the_second_sync_of_your_own_site_reads_what_changed(own: Own) -> None:
    (directory,) = (own.directory / "demo").iterdir()
    assert directory.name == own.site.url.removeprefix("http://").replace(":", "_")
    file = directory / "confluence.duckdb"
    ((rows, ids),) = execute(file, "SELECT count(*), count(DISTINCT id) FROM pages")
    assert rows == ids
    assert execute(file, "SELECT title FROM pages WHERE title = 'Edited since'")
    read = dict(execute(file, "SELECT stream, records FROM _syncs"))
    # What changed, and the newest page of each group.
    assert 0 < read["pages"] <= 1 + len(own.site.site.records("spaces")) < rows
    assert read["page_index"] == len(
        own.site.site.records("pages")
    )  # the second sync reads the whole index again
    assert (directory / "report.html").exists()


def test_a_stream_that_fails_for_another_reason_fails_the_demo(own: Own) -> None:
    ran = own.second
    assert ran.code == 1
    assert re.search(r"^Not complete:\n  labels: .+$", ran.out, re.MULTILINE)
    assert "interrupted" not in ran.out + ran.err


def test_the_demo_of_one_part_applies_no_deletions(tmp_path: Path) -> None:
    """A page that moves to another part is not marked, and the demo says so."""
    with Server(company(small=True)) as site, without_processes():
        space = next(s for s in site.site.records("spaces") if int(s["id"]) % 2 == 0)
        (tmp_path / "config.json").write_text(json.dumps({**config_for(site), "part": "1/2"}))
        runs = [run(tmp_path, "space", "pages", "page_index")]
        page = next(p for p in site.site.records("pages") if p["spaceId"] == space["id"])
        page["spaceId"] = next(s["id"] for s in site.site.records("spaces") if int(s["id"]) % 2)
        runs += [run(tmp_path, "space", "pages", "page_index") for _ in range(2)]
    assert all("This is part 1/2: no deletions are applied." in ran.out for ran in runs)
    (file,) = tmp_path.glob("demo/*/confluence.duckdb")
    assert execute(file, f"SELECT status FROM pages WHERE id = '{page['id']}'") == [(page["status"],)]
    assert execute(file, "SELECT count(*) FROM _absent") == [(0,)]


def test_a_stream_costs_much_if_it_costs_a_request_for_each_page_post_comment_or_attachment() -> None:
    assert not demo.is_costly(STREAMS["page_labels"])
    assert not demo.is_costly(STREAMS["named_users"])
    for name in ("page_versions", "blog_post_likes", "footer_comment_replies", "attachment_files"):
        assert demo.is_costly(STREAMS[name])
    every = demo.chosen(["all"], [], [], own=True)
    assert every == demo.chosen([], [], [], own=False) == list(STREAMS)
    assert demo.chosen(["space"], ["pages"], ["space"], own=True) == ["pages"]


def test_progress_estimates_the_time_that_is_left() -> None:
    def read(**streams: tuple[int, str]) -> dict[str, Stream]:
        file = io.StringIO()
        return {name: Stream({}, file, None, *counted) for name, counted in streams.items()}

    since = dict.fromkeys(("pages", "tasks", "page_likes"), (10.0, 50))
    progress = demo.Progress({"tasks": 400}, first=since)
    complete = (1000, "COMPLETE")
    assert progress.left(read(page_index=complete, pages=(250, "INCOMPLETE")), 20.0) == 37.5
    assert progress.left(read(tasks=(100, "INCOMPLETE")), 20.0) == 60.0
    assert progress.left(read(page_index=complete, page_likes=(550, "INCOMPLETE")), 20.0) == 9.0
    assert progress.left(read(pages=(250, "INCOMPLETE")), 20.0) is None
    assert progress.left(read(page_index=complete, pages=(50, "INCOMPLETE")), 20.0) is None
    assert progress.left(read(page_index=complete, pages=(250, "INCOMPLETE")), 12.0) is None


@pytest.mark.parametrize("options", [["page"], ["--with", "page"], ["--without", "page"]])
def test_an_error_names_an_unknown_stream(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "config.json").write_text("{}")
    ran = run(tmp_path, *options)
    assert ran.code == 1
    assert ran.err.startswith("There is no stream page. The streams are ")


def test_an_error_explains_an_invalid_configuration_once(tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        for more, words in (
            ({"api_token": "wrong"}, "Check email and api_token"),
            ({"space_key": ["ENG"]}, "Did you mean space_keys?"),
            (None, "There is no config.json"),
        ):
            (tmp_path / "config.json").unlink(missing_ok=True)
            if more is not None:
                (tmp_path / "config.json").write_text(json.dumps({**config_for(site), **more}))
            ran = run(tmp_path)
            assert ran.code
            assert ran.err.count(words) == 1
            assert ran.out == ""
            assert "Traceback" not in ran.err
    assert not (tmp_path / "demo").exists()


def test_ctrl_c_during_the_check_ends_the_demo_without_a_traceback(tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        (tmp_path / "config.json").write_text(json.dumps(config_for(site)))
        command = [sys.executable, "-m", "tools.demo", "--config", "config.json"]
        calls = itertools.count()
        site.before("", lambda _: interrupt())
        process = subprocess.Popen(
            command, cwd=tmp_path, env=HERE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

        def interrupt() -> None:
            if next(calls) == 0:
                os.killpg(process.pid, signal.SIGINT)

        stderr = process.communicate(timeout=600)[1]
    assert process.returncode == 130
    assert stderr == "\nThe sync was interrupted. The next one continues from there.\n"


def test_an_interrupted_sync_keeps_the_records_that_it_read(tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        config, file = tmp_path / "config.json", tmp_path / "confluence.duckdb"
        config.write_text(json.dumps(config_for(site)))
        command = [sys.executable, "-m", "tools.load", str(config), str(file), "space", "tasks"]

        def interrupt(request: Request) -> None:
            if request.values("body-format"):  # of the read: a check asks for no bodies
                os.killpg(process.pid, signal.SIGINT)

        site.before("/wiki/api/v2/tasks", interrupt)
        process = subprocess.Popen(
            command, cwd=tmp_path, env=HERE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

        stderr = process.communicate(timeout=600)[1]
    assert process.returncode == 1, stderr
    assert "The sync was interrupted. The next one continues from there." in stderr
    assert "Traceback" not in stderr
    assert dict(execute(file, "SELECT stream, status FROM _syncs"))["tasks"] == "INCOMPLETE"


def test_a_sync_whose_connector_is_killed_keeps_the_records_that_it_read(tmp_path: Path) -> None:
    config, file, killed = tmp_path / "config.json", tmp_path / "confluence.duckdb", tmp_path / "killed"
    killed.write_text(
        f'#!/bin/sh\n[ "$1" = read ] || exec {load.CONNECTOR} "$@"\n'
        f'{load.CONNECTOR} "$@" 2>/dev/null | head -c 30000\nkill -9 $$\n'
    )
    killed.chmod(0o755)
    program = f"import sys; from tools import load; load.CONNECTOR = {str(killed)!r}; load.main()"
    with Server(company(small=True)) as site:
        config.write_text(json.dumps(config_for(site)))
        command = [sys.executable, "-c", program, str(config), str(file), "space", "pages"]
        ran = subprocess.run(
            command, cwd=tmp_path, env=HERE, capture_output=True, text=True, check=False, timeout=600
        )
    assert (ran.returncode, ran.stderr) == (
        1,
        "Not complete:\npages: source-confluence read was ended from outside.\n",
    )
    assert execute(file, "SELECT count(*) > 0 FROM space") == [(True,)]
    assert execute(file, "SELECT stream, status FROM _syncs ORDER BY 1") == [
        ("pages", "INCOMPLETE"),
        ("space", "COMPLETE"),
    ]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("acme", "acme"),
        ("Acme.atlassian.net", "acme.atlassian.net"),
        (" https://acme.atlassian.net/wiki/home?x=1", "acme.atlassian.net"),
        ("http://127.0.0.1:8090", "127.0.0.1_8090"),
        ("..", "_"),
    ],
)
def test_each_site_has_its_own_directory(tmp_path: Path, address: str, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"domain_name": address}))
    assert demo.name_of_site(tmp_path / "config.json") == name


def test_the_recipes_and_the_readme_show_the_results_of_the_demo(directory: Path, printed: str) -> None:
    assert printed
    with duckdb.connect(str(directory / "confluence.duckdb"), read_only=True) as connection:
        assert recipes.PAGE.read_text(encoding="utf-8") == recipes.page(connection), "run `make recipes`"
        assert recipes.README.read_text(encoding="utf-8") == recipes.readme(connection), "run `make recipes`"


# ------------------------------------------------------------------ the report


def test_the_report_needs_no_network_and_runs_no_script(drawn: Page) -> None:
    tags = {tag for tag, _ in drawn.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "image", "use"})
    attributes = [(name, value) for _, found in drawn.elements for name, value in found.items()]
    assert not [
        name
        for name, value in attributes
        if (name in ("src", "href", "xlink:href") and value != "#hidden") or name.startswith("on")
    ]
    policies = [found["content"] for tag, found in drawn.elements if found.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_report_is_small(directory: Path, drawn: Page) -> None:
    assert drawn.elements
    assert (directory / "report.html").stat().st_size < 1_000_000


def test_the_report_shows_every_part(drawn: Page) -> None:
    tags = [tag for tag, _ in drawn.elements]
    assert tags.count("svg") == len(report.CHARTS)
    assert tags.count("table") == 4
    assert "Not available" not in drawn.text
    assert "undefined" not in drawn.text
    assert "OPS, 2026-06: 3" in drawn.text  # the tooltip
    assert "has no data" not in drawn.text
    for shown in (
        "Norrvik Instruments",
        "Hanna Lindqvist",
        "Samuel Okoro Home",
        "confluence-users",
        "roadmap",
    ):
        assert shown in drawn.text


def test_the_report_begins_with_complete_current_and_restricted_pages(drawn: Page) -> None:
    text = " ".join(drawn.text.split())
    assert (
        f"Is it complete? All {len(STREAMS)} streams are complete. Missing: 0 of 135 current pages." in text
    )
    assert re.search(
        r"Is it up to date\? The last sync ended on 20\d\d-\d\d-\d\d \d\d:\d\d UTC\. Outdated pages: 0\.",
        text,
    )
    assert re.search(r"Who can see what\? Restricted: [1-9]\d* of 135 current pages\. Activity", text)


def test_the_report_names_incomplete_and_outdated_data(directory: Path, printed: str, tmp_path: Path) -> None:
    assert printed
    file = tmp_path / "late.duckdb"
    shutil.copy(directory / "confluence.duckdb", file)
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE _syncs SET status = 'INCOMPLETE' WHERE stream IN ('pages', 'audit')")
        connection.execute("DELETE FROM pages WHERE title = 'Contract terms'")
        earlier = "_airbyte_extracted_at = _airbyte_extracted_at - INTERVAL 1 HOUR"  # than the index
        outdated = f"""UPDATE pages SET version = '{{"number": 0}}', {earlier} WHERE title LIKE 'Runbook%'"""
        connection.execute(outdated)
        for title in ("Glossary", "Who is on call"):  # nothing is below them
            unread = "(SELECT id FROM page_index WHERE title = $title)"
            for table, field in (("page_restrictions", "pageId"), ("content_restrictions", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {field} = {unread}", {"title": title})
    report.write(file, tmp_path / "report.html")
    text = " ".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text.split())
    assert "No: these streams are incomplete: audit, pages. Missing: 1 of 135 current pages." in text
    assert "Outdated pages: 2." in text
    assert "nobody may see, because their readers are not known: 2 (never read: 2)." in text


def test_an_error_explains_an_unreadable_database(tmp_path: Path) -> None:
    (tmp_path / "newer.duckdb").write_bytes(b"\0" * 8 + b"DUCK" + (99).to_bytes(8, "little") + b"\0" * 12_288)
    with pytest.raises(SystemExit) as refused:
        report.write(tmp_path / "newer.duckdb", tmp_path / "report.html")
    assert "newer.duckdb cannot be used: " in str(refused.value)
    assert f"DuckDB {duckdb.__version__} is installed here; a newer one may have written" in str(
        refused.value
    )


def test_the_ids_in_the_report_are_unique(drawn: Page) -> None:
    ids = [found["id"] for _, found in drawn.elements if "id" in found]
    assert len(ids) == len(set(ids))


def test_the_report_escapes_text_from_the_site(directory: Path, printed: str, tmp_path: Path) -> None:
    assert printed
    file = tmp_path / "hostile.duckdb"
    shutil.copy(directory / "confluence.duckdb", file)
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\" ' &lt;"
    fields = {
        "pages": "title",
        "space": "name",
        "users": "displayName",
        "labels": "name",
        "site_info": "siteTitle",
    }
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE space SET key = key || $hostile", {"hostile": hostile})
        connection.execute('UPDATE "group" SET name = $hostile', {"hostile": hostile})
        for table, field in fields.items():
            connection.execute(f"UPDATE {table} SET {field} = $hostile", {"hostile": hostile})
    report.write(file, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img"})
    assert page.text.count(hostile) > 20


def test_the_report_of_an_empty_site_says_that_it_has_no_data(tmp_path: Path) -> None:
    file = database(tmp_path, {name: [] for name in STREAMS})
    report.write(file, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("The site has no data for this part.") == 7
    assert "svg" not in {tag for tag, _ in page.elements}


def test_the_report_names_streams_that_were_not_synced(tmp_path: Path) -> None:
    file = database(tmp_path, {"space": [], "pages": []})
    report.write(file, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    lacking = re.findall(r"Not available: the stream (\w+) was not synced", page.text)
    assert set(lacking) <= set(STREAMS)
    assert len(lacking) == 6
    assert page.text.count("The site has no data for this part.") == 1


def test_the_report_of_an_empty_database_names_the_missing_streams(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    report.write(tmp_path / "empty.duckdb", tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("Not available") == 7


# ------------------------------------------------------------------ recipes


@pytest.mark.usefixtures("printed")
def test_people_has_each_author_once_with_those_who_left(directory: Path) -> None:
    file = directory / "confluence.duckdb"
    authors = """
      SELECT authorId AS id FROM page_index UNION SELECT version ->> 'authorId' FROM page_index
      UNION SELECT authorId FROM blog_post_index UNION SELECT version ->> 'authorId' FROM blog_post_index
      UNION SELECT version ->> 'authorId' FROM attachments UNION SELECT version ->> 'authorId' FROM footer_comments
      UNION SELECT version ->> 'authorId' FROM inline_comments UNION SELECT assignedTo FROM tasks
    """
    nobody = f"SELECT id FROM ({authors}) LEFT JOIN people ON accountId = id WHERE accountId IS NULL AND id IS NOT NULL"
    assert execute(file, nobody) == []
    assert execute(file, "SELECT accountId FROM people GROUP BY 1 HAVING count(*) > 1") == []
    left = """
      SELECT person, (SELECT count(*) FROM pages WHERE authorId = accountId),
             (SELECT count(*) FROM footer_comments WHERE version ->> 'authorId' = accountId)
      FROM people WHERE status = 'unlisted'
    """
    assert execute(file, left) == [("Torbjörn Ek (Deactivated)", 1, 1)]


@pytest.mark.usefixtures("printed")
def test_guests_see_the_pages_of_their_space_only(directory: Path) -> None:
    query = """
      SELECT DISTINCT w.space, w.person FROM who_can_see w JOIN users USING (accountId) WHERE isGuest ORDER BY 2
    """
    assert execute(directory / "confluence.duckdb", query) == [
        *(("BUOY4", "Daniel Kruse"), ("BUOY4", "Noor Jansen"))
    ]


@pytest.mark.usefixtures("printed")
def test_a_restricted_folder_hides_its_pages_from_a_reader_of_the_space(directory: Path) -> None:
    folder = "SELECT id FROM tree_items WHERE title = 'Incidents'"
    inside = f"p.parentId = ({folder})"
    query = f"""
      SELECT person, count(*) FILTER (WHERE {inside}), count(*) FILTER (WHERE NOT {inside}) > 0
      FROM who_can_see w JOIN pages p USING (id) WHERE w.space = 'ENG' GROUP BY 1
    """
    pages = {person: (below, rest) for person, below, rest in execute(directory / "confluence.duckdb", query)}
    assert pages["Nadia Haddad"] == (2, True)
    assert pages["Freya Nilsen"] == (0, True)


def test_a_path_begins_at_the_highest_visible_ancestor(tmp_path: Path) -> None:
    folder = {**page_of(2, 1), "type": "folder"}
    pages = [page_of(3, 2), page_of(4, 3), page_of(5, 99)]
    file = database(
        tmp_path, {"space": [{"id": "1", "key": "ENG"}], "page_index": pages, "tree_items": [folder]}
    )
    found = dict(execute(file, "SELECT path, depth FROM page_tree"))
    assert found == {"Page 2": 0, "Page 2 / Page 3": 1, "Page 2 / Page 3 / Page 4": 2, "Page 5": 0}


def test_a_subtree_with_a_loop_ends(tmp_path: Path) -> None:
    folder = {**page_of(2, 1), "type": "folder"}
    pages = [page_of(1), page_of(3, 2), page_of(4, 3, status="archived"), page_of(5, 6), page_of(6, 5)]
    file = database(tmp_path, {"page_index": pages, "tree_items": [folder]})
    found = execute(
        file, "SELECT topId, string_agg(id, ' ' ORDER BY id) FROM subtrees GROUP BY topId ORDER BY 1"
    )
    assert found == [("1", "1 2 3"), ("2", "2 3"), ("3", "3"), ("5", "5 6"), ("6", "5 6")]


def test_replies_follow_their_comment_at_any_depth(tmp_path: Path) -> None:
    def comment(
        number: int, above: int | None = None, page: str | None = None, **more: str
    ) -> dict[str, Any]:
        parent = None if above is None else str(above)
        body = {"storage": {"value": f"<p>{number}</p>"}}
        known = {"id": str(number), "parentCommentId": parent, "pageId": page, "body": body, "version": {}}
        return {**known, **more}

    records = {
        "space": [{"id": "1", "key": "ENG"}],
        "pages": [page_of(1)],
        **{name: [] for name in ("users", "group", "group_members", "named_users")},
        # The list of all comments contains a reply too, but without its parent.
        "footer_comments": [
            *(comment(1, page="1"), comment(3), comment(5, page="1", status="current")),
            *(comment(n, page="1", status=status) for n, status in ((6, "trashed"), (7, "deleted"))),
        ],
        "footer_comment_replies": [
            *(comment(2, 1), comment(3, 2), comment(4, 1)),
            *(comment(n, 1, status=status) for n, status in ((8, "trashed"), (9, "deleted"))),
        ],
        "inline_comments": [],
        "inline_comment_replies": [],
    }
    file = database(tmp_path, records)
    rows = execute(file, "SELECT text, depth FROM comment_threads ORDER BY thread, place")
    assert rows == [("1", 0), ("2", 1), ("3", 2), ("4", 1), ("5", 0)]


def test_the_latest_body_is_that_of_the_last_sync(tmp_path: Path) -> None:
    def version(number: int) -> dict[str, Any]:
        body = {"storage": {"value": f"text {number}"}}
        return page_of(1, body=body, version={"number": number}, updatedAt=f"2026-01-0{number}T00:00:00Z")

    file = database(tmp_path, {"pages": [version(3)]})
    appended = (
        """SELECT * REPLACE ('2026-01-01'::TIMESTAMPTZ AS updatedAt, '{"number":1}' AS version) FROM pages"""
    )
    with duckdb.connect(str(file)) as connection:
        connection.execute(f"INSERT INTO pages {appended}")
    assert execute(file, "SELECT count(*) FROM pages") == [(2,)]
    assert execute(file, "SELECT version, body FROM latest_pages") == [(3, "text 3")]


def test_the_markdown_names_who_left_and_does_not_take_an_empty_live_doc_for_empty(tmp_path: Path) -> None:
    def page(number: int, text: str, subtype: str | None) -> dict[str, Any]:
        return page_of(number, body={"storage": {"value": text}}, subtype=subtype)

    mention = '<p>Ask <ac:link><ri:user ri:account-id="{}"/></ac:link></p>'
    pages = [page(1, "", "live"), page(2, "", None), page(3, "<p>Text</p>", "live")]
    pages += [page(4, mention.format("left"), None), page(5, mention.format("renamed"), None)]
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in STREAMS}
    records |= {"space": [{"id": "1", "key": "ENG", "name": "Engineering"}], "pages": pages}
    records |= {"page_index": pages, "site_info": [{"cloudId": "1", "baseUrl": "https://example.net/wiki"}]}
    records["users"] = [{"accountId": "renamed", "displayName": "New name"}]
    records["named_users"] = [
        {"accountId": "left", "publicName": "Who left"},
        {"accountId": "renamed", "displayName": "Old name"},
    ]
    file = database(tmp_path, records)
    with duckdb.connect(str(file)) as connection:
        found = {document["document_key"]: document["content"] for document in documents(connection)}
        assert found == {"1": None, "2": "", "3": "Text", "4": "Ask @Who left", "5": "Ask @New name"}
        connection.execute("DROP TABLE named_users")
        found = {document["document_key"]: document["content"] for document in documents(connection)}
        assert found["4"] == "Ask @left"


def test_a_link_to_one_of_two_posts_with_the_same_title_stays_text(tmp_path: Path) -> None:
    link = '<ac:link><ri:blog-post ri:content-title="{0}"/></ac:link>'
    titles = {1: "Weekly", 2: "Weekly", 3: "Once"}
    body = {"storage": {"value": f"<p>{link.format('Weekly')}, {link.format('Once')}</p>"}}
    posts = [
        page_of(n, title=title, body=body, _links={"webui": f"/blog/{n}"}) for n, title in titles.items()
    ]
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in STREAMS}
    records |= {"space": [{"id": "1", "key": "ENG", "name": "Engineering"}], "blog_posts": posts}
    records |= {"blog_post_index": posts, "site_info": [{"cloudId": "1", "baseUrl": "https://example.net"}]}
    with duckdb.connect(str(database(tmp_path, records))) as connection:
        found = {document["content"] for document in documents(connection)}
    assert found == {"Weekly, [Once](https://example.net/blog/3)"}
