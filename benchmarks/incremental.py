"""What an incremental sync of a large site costs, and what the groups of spaces save on the first one.

    python -m benchmarks incremental

Counts the requests of 100,000 pages in 500 spaces: of the sync that follows a state at the newest page, of
an unchanged site, and after edits. Then reads 20,000 pages in 200 spaces at 200 ms an answer, in groups of
spaces as the manifest says and as a single chain of pages, each in a process of its own. Run it on a machine
that does nothing else: the groups save waiting, not work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.readers import airbyte_files
from fake_confluence import Server, Site, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL = 0.35
SINGLE_CHAIN = (
    "import sys; from benchmarks.incremental import read_as_single_chain as read; read(sys.argv[1:])"
)
SPACES = 'space-id: "#/definitions/these_spaces", status: '
STREAMS = ("pages", "blog_posts", "footer_comments", "audit")
LISTS = ("/pages", "/blogposts", "/footer-comments", "/audit")
FIRST_25_SPACES = {str(1_000 + n) for n in range(25)}


def main() -> None:
    """Measure both."""
    count_requests()
    compare_first_syncs()


def count_requests() -> None:
    """Print how many requests each stream makes when little or nothing has changed."""
    site = generate(
        pages=100_000, spaces=500, blog_posts=5_000, comments=5_000, audit_events=5_000, body_bytes=0
    )
    site.add("audit", {**site.records("audit")[-1], "creationDate": int(time.time() * 1000), "_key": 5_000})
    print("Requests for 100,000 pages in 500 spaces (the list of spaces included)")
    print(f"{'':<42}{''.join(f'{name:>17}' for name in STREAMS)}{'pages read':>12}")
    with Server(site) as server, TemporaryDirectory() as directory:
        state = [_state(name, _newest(site, name)) for name in STREAMS]
        state = _counted("from a state at the newest page", server, Path(directory), state)
        state = _counted("unchanged", server, Path(directory), state)
        for edits, where in ((1, "anywhere"), (600, "in one group of spaces"), (600, "anywhere")):
            _edit(site, edits, spread=where == "anywhere")
            state = _counted(f"after {edits} more edits {where}", server, Path(directory), state)


def compare_first_syncs() -> None:
    """Print the time of a first sync in groups of spaces and as a single chain, and their ratio."""
    site = generate(pages=20_000, spaces=200)
    with Server(site, latency=0.2) as server, TemporaryDirectory() as directory:
        arguments = _arguments(server, Path(directory), ("pages",), None)
        console = str(Path(sys.executable).with_name("source-confluence"))
        single = [sys.executable, "-c", SINGLE_CHAIN, *arguments]
        seconds, asked = {}, list[float]()
        server.before(r"/pages\?", lambda _: asked.append(time.monotonic()))
        print("\nFirst sync of 20,000 pages in 200 spaces at 200 ms an answer, whole process")
        for label, command in (("groups of 25 spaces", [console, *arguments]), ("a single chain", single)):
            asked.clear()
            began = time.monotonic()
            records = sum('"type":"RECORD"' in line for line in _lines(command))
            seconds[label] = time.monotonic() - began
            paging = asked[-1] - asked[0]
            print(f"  {label:<20}{seconds[label]:6.1f} s: {records} records,", end=" ")
            print(f"{len(asked)} requests for pages within {paging:.1f} s")
    grouped, chain = seconds.values()
    print(f"  ratio {grouped / chain:.2f} (goal: at most {GOAL})")


def read_as_single_chain(arguments: list[str]) -> None:
    """Read with a manifest in which all spaces are one group, asked for without naming them."""
    from source_confluence import run, source  # noqa: PLC0415 - large: it would be counted as the memory of who is measured

    text = source.MANIFEST.read_text(encoding="utf-8")
    single = text.replace("group_size: 25,", f"group_size: {10**6},").replace(SPACES, "status: ")
    if SPACES not in text or "group_size: 25," not in text:
        sys.exit("The manifest no longer asks for pages in groups of 25 spaces: adapt the benchmark.")
    with TemporaryDirectory() as directory:
        source.MANIFEST = Path(directory) / "manifest.yaml"
        source.MANIFEST.write_text(single, encoding="utf-8")
        run.run(arguments)


def _counted(
    label: str, server: Server, directory: Path, state: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Read in a process of its own, print the requests of each stream, and return the new state."""
    server.log.clear()
    states, pages = {}, 0
    console = str(Path(sys.executable).with_name("source-confluence"))
    for line in _lines([console, *_arguments(server, directory, STREAMS, state)]):
        message = json.loads(line)
        if message["type"] == "STATE":
            states[message["state"]["stream"]["stream_descriptor"]["name"]] = message["state"]
        pages += message["type"] == "RECORD" and message["record"]["stream"] == "pages"
    spaces = server.requests_to("/wiki/api/v2/spaces")
    some = sum(request.values("limit") == ["1"] for request in spaces)
    counts = {name: len(server.requests_to(rf"{path}\?")) for name, path in zip(STREAMS, LISTS, strict=True)}
    counts["pages"] += len(spaces) - some
    counts["blog_posts"] += some
    print(f"{label:<42}{''.join(f'{count:>17}' for count in counts.values())}{pages:>12}")
    return list(states.values())


def _edit(site: Site, count: int, *, spread: bool) -> None:
    """Edit pages, a millisecond after each other, everywhere or in the first 25 spaces alone."""
    site.tick(86_400)
    chosen = [page for page in site.records("pages") if spread or page["spaceId"] in FIRST_25_SPACES]
    for page in chosen[:: len(chosen) // count][:count]:
        page["version"] = {**page["version"], "createdAt": site.tick(0.001)}
    site.changed("pages")


def _newest(site: Site, stream: str) -> dict[str, Any]:
    if stream == "audit":
        return {"creationDate": str(max(event["creationDate"] for event in site.records(stream)))}
    return {"updatedAt": max(record["version"]["createdAt"] for record in site.records(stream))}


def _state(stream: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": state}}


def _arguments(server: Server, directory: Path, streams: tuple[str, ...], state: Any) -> list[str]:
    config = {"email": server.email, "api_token": server.token, "domain_name": server.url}
    return ["read", *airbyte_files(directory, config, streams, state)]


def _lines(command: list[str]) -> Iterator[str]:
    """Run a command and yield what it prints.

    Raises:
        SystemExit: It failed; it has said why on stderr.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
        assert process.stdout
        yield from process.stdout
    if process.returncode:
        sys.exit(process.returncode)
