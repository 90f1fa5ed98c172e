"""Write every derived file, or check that each is up to date.

    python -m tools.derive            writes
    python -m tools.derive --check    changes nothing; lists the stale files, and exits with 1 if there are any

Derived are: the foot of the manifest (schemas from source_confluence/schemas/, spec from spec.yaml, index of
streams from the blocks above), the tables of streams and the entity diagram in docs/ (from the manifest and
the contract), the table of parameters there (from parameters.yaml), and the catalog of the standard tests.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation

from common.markdown import between_marks
from common.streams import FOOT, Stream, handwritten, schemas, spec, streams
from source_confluence.components.scope import MOST_SPACES
from source_confluence.source import MANIFEST
from tools.parameters import parameter_table
from tools.recipes import recipes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write the derived files, or check them."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for path, text in derived():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    for stale_path in stale:
        print(f"{stale_path} {'is stale' if check else 'written'}")
    if check and stale:
        sys.exit("Run `make derived` and commit what it writes.")


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each derived file with the text that it must have.

    The manifest comes first: the others are derived from it.
    """
    yield MANIFEST, manifest_with_foot()
    yield ROOT / "source_confluence" / "access.json", access_by_stream()
    index = ROOT / "docs" / "index.md"
    text = index.read_text(encoding="utf-8")
    for mark, content in (
        ("streams", stream_tables()),
        ("points", points()),
        ("access", access_table()),
        ("entities", entity_diagram()),
    ):
        text = between_marks(text, mark, content)
    yield index, text
    signing_in = ROOT / "docs" / "authentication.md"
    text = between_marks(signing_in.read_text(encoding="utf-8"), "scopes of pages", scopes_of_pages())
    text = between_marks(text, "scopes for an AI", scopes_for_an_ai())
    yield signing_in, between_marks(text, "all scopes", as_text(all_scopes()))
    platform = ROOT / "docs" / "platform.md"
    yield platform, between_marks(platform.read_text(encoding="utf-8"), "parts", part_table())
    oddities = ROOT / "docs" / "oddities.md"
    yield oddities, between_marks(oddities.read_text(encoding="utf-8"), "parameters", parameter_table())
    yield ROOT / "integration_tests" / "configured_catalog.json", configured_catalog()


def manifest_with_foot() -> str:
    """Return the manifest with its generated foot, one line for each part."""
    parts = [f"  {name}: {json.dumps(schema, ensure_ascii=False)}" for name, schema in schemas().items()]
    index = [f'  - $ref: "#/definitions/streams/{stream.name}"' for stream in streams()]
    lines = ["schemas:", *parts, f"spec: {json.dumps(spec(), ensure_ascii=False)}", "streams:", *index]
    text = "\n".join(lines)
    return f"{handwritten()}\n{FOOT}{text}\n"


def stream_tables() -> str:
    """Return a table of streams for each banner of the manifest."""
    head = ("Stream", "One record is", "Key", "Sync", "Requests", "100,000 parents cost")
    parts = [
        f"### {banner}\n\n{markdown([head, *map(stream_row, found)])}"
        for banner, found in by_banner().items()
    ]
    return "\n".join(parts)


def stream_row(stream: Stream) -> tuple[str, ...]:
    """Return what a stream is."""
    (address,) = stream_address(stream.name)
    return (
        f"[`{stream.name}`]({address})",
        stream.schema["description"].replace("|", "\\|"),
        code(stream.key),
        f"incremental by `{stream.cursor}`" if stream.cursor else "full",
        requests(stream),
        cost(stream),
    )


def access_table() -> str:
    """Return the table of scopes, plans and permissions; streams that need the same share a row."""
    rows: list[tuple[str, ...]] = [("Streams", "Scopes", "Plan or permission")]
    for banner, found in by_banner().items():
        needed: dict[tuple[str, str], list[str]] = {}
        for stream in found:
            granular, classic = (
                code(sorted({scope for call in stream.operations for scope in call.scopes.get(kind, [])}))
                for kind in ("granular", "classic")
            )
            scopes = f"{granular}; or classic: {classic}" if classic else granular
            needed.setdefault((scopes, stream.operations[0].needs or ""), []).append(stream.name)
        rows.append((f"**{banner}**", "", ""))
        rows += [(code(names), *needs) for needs, names in needed.items()]
    return markdown(rows)


PARTS = {
    "what is in its spaces": "space",
    "the records with its ids, and what is below them": "id",
    "part 1 all, the others nothing": "first",
}


def part_table() -> str:
    """Return for each rule the streams that are split by it."""
    rows = [("What a part reads", "Streams")]
    rows += [(what, code(s.name for s in streams() if s.part == rule)) for what, rule in PARTS.items()]
    return markdown(rows)


def points() -> str:
    """Name the streams whose records cost an OAuth app two points each."""
    return f"{code([s.name for s in streams() if s.points_a_record > 1])}\n"


def by_banner() -> dict[str, list[Stream]]:
    """Return the streams under the banners of the manifest."""
    known = {stream.name: stream for stream in streams()}
    found: dict[str, list[Stream]] = {}
    banner = "Other streams"
    for line in handwritten().partition("\n  streams:\n")[2].splitlines():
        if heading := re.fullmatch(r"    # -{20,} (.+)", line):
            banner = heading[1]
        elif name := re.match(r"    (\w+):  # ", line):
            found.setdefault(banner, []).append(known[name[1]])
    return found


def code(names: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    head, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, (":--",) * len(head), *others))


def stream_address(name: str) -> list[str]:
    """Return the address of the documentation from the comment on a stream in the manifest."""
    base = "https://developer.atlassian.com/cloud/confluence/rest/"
    line = next(line for line in handwritten().splitlines() if line.startswith(f"    {name}:  # "))
    return [base + line.partition("# ")[2].split(",")[0]]


def requests(stream: Stream) -> str:
    """Describe the number of requests of a stream."""
    size = page_size(stream)
    pages = f", pages of {size:,}" if size else ""
    return f"1 for {what_a_request_is_for(stream)}{pages}"


def page_size(stream: Stream) -> int:
    """Return the most records of a response by default; 0 if a response is an object or a whole list."""
    pagination = stream.declared["retriever"]["paginator"].get("pagination_strategy", {})
    return int(JinjaInterpolation().eval(str(pagination.get("page_size", 0)), {}))


def cost(stream: Stream) -> str:
    """Say what 100,000 parents cost; nothing for lists, and for the few parents that are spaces or groups."""
    if stream.router.get("type") != "SubstreamPartitionRouter" or {"space", "group"} & set(stream.parents):
        return ""
    count = requests_for(stream, 100_000)
    slow, fast = (f"{count / 3600 / rate:.1f}" for rate in (5, 20))
    return f"{count:,} requests, {slow} or {fast} hours"


def requests_for(stream: Stream, count: int) -> int:
    """Return the requests for this many parents, each with few records: theirs, those of files, and the list."""
    (parent,) = (known for known in streams() if known.name in stream.parents)
    return count * (2 if stream.uploader else 1) + ceil(count / page_size(parent))


def what_a_request_is_for(stream: Stream) -> str:
    """Name what each list or object of a stream belongs to."""
    kind = stream.router.get("type")
    if kind == "ListPartitionRouter" and stream.router["cursor_field"] not in ("chosen", "once"):
        values = stream.router["values"]
        routers = stream.declared["retriever"]["partition_router"]
        return (
            f"each of {', '.join(values)}"
            if isinstance(values, list)
            else "each of `custom_content_types`, in two formats"
        ) + (f", and each {routers[-1]['group_size']} chosen spaces" if "group_size" in str(routers) else "")
    if "accountId" in stream.key and kind == "GroupingPartitionRouter":
        return f"each {stream.router['group_size']} accounts, after the lists of {code(dict.fromkeys(stream.parents))}"
    if kind == "GroupingPartitionRouter" and stream.router["group_size"] == MOST_SPACES:
        return "the site, or each 100 chosen spaces"
    if kind == "GroupingPartitionRouter":
        return f"each group of up to {stream.router['group_size']} spaces"
    if kind == "SubstreamPartitionRouter":
        changed = "changed " if stream.follows_changes else ""
        return f"each {changed}record of {code(dict.fromkeys(stream.parents))}"
    return "each year since 2004 or the last sync" if stream.cursor == "creationDate" else "the site"


def entity_diagram() -> str:
    """Return the streams, their keys and how they refer to each other as a Mermaid diagram."""
    lines = ["```mermaid", "erDiagram", "  direction LR"]
    for stream in streams():
        fields = [(field, "PK") for field in stream.key]
        fields += [(field, "FK") for field, _ in stream.references if field not in stream.key]
        typed = [f"    {field_type(stream, field)} {field} {kind}" for field, kind in fields]
        lines += [f"  {stream.name} {{", *typed, "  }"]
    for stream in streams():
        lines += [f"  {target} ||--o{{ {stream.name} : {field}" for field, target in stream.references]
    return "\n".join([*lines, "```", ""])


def field_type(stream: Stream, field: str) -> str:
    """Return the type of a field, without null."""
    types = stream.schema["properties"][field]["type"]
    (found,) = {types} if isinstance(types, str) else {*types} - {"null"}
    return str(found)


def access_by_stream() -> str:
    """Return for each stream its access, for `check` and for messages.

    `needs`: the plan or permission beyond reading the content.
    `scopes`: the sets of scopes, any of which is enough to read the stream and its parents.
    `part`: how a part of the site gets its records.
    `probes`: streams that a check reads instead of it. Streams whose operations need the same scopes share one,
    and so do streams with the same needs.
    """
    known = {stream.name: stream for stream in streams()}
    parents = {parent for stream in known.values() for parent in stream.parents}
    representatives: dict[str, str] = {}
    for stream in sorted(known.values(), key=lambda s: (s.name not in parents, s.parents != [])):
        for grant in grants(stream):
            representatives.setdefault(grant, stream.name)
    access = {
        name: {
            "needs": stream.operations[0].needs,
            "scopes": ways_to_read(stream, known),
            "part": stream.part,
            "probes": sorted(
                {representatives[grant] for each in with_ancestors(stream, known) for grant in grants(each)}
            ),
        }
        for name, stream in known.items()
    }
    return json.dumps(access, indent=2) + "\n"


def grants(stream: Stream) -> list[str]:
    """Return the scopes and permissions that an account needs to read a stream, without its parents."""
    # A check ignores scopes to write: the connector does not write, and few users grant them.
    # Nor does it read all lists that name accounts: the scope to search for users is also the one to look them up.
    scopes = [
        {
            kind: [scope for scope in each if not scope.startswith("write:")]
            for kind, each in operation.scopes.items()
            if operation.paging != "bulk" or kind == "granular"
        }
        # It does not download files.
        for operation in (stream.operations[:1] if stream.uploader else stream.operations)
    ]
    needs = stream.operations[0].needs
    return [*map(repr, scopes), *([needs] if needs else [])]


def with_ancestors(stream: Stream, known: dict[str, Stream]) -> list[Stream]:
    """Return a stream, its parents, their parents and so on."""
    return [stream, *(s for name in stream.parents for s in with_ancestors(known[name], known))]


def ways_to_read(stream: Stream, known: dict[str, Stream]) -> list[list[str]]:
    """Return the sets of scopes, each of which is enough: granular ones, and classic ones where they exist."""
    operations = [operation for each in with_ancestors(stream, known) for operation in each.operations]
    ways: list[list[str]] = []
    for kind, other in (("granular", "classic"), ("classic", "granular")):
        way = sorted({scope for op in operations for scope in op.scopes.get(kind) or op.scopes[other]})
        if way not in ways:
            ways.append(way)
    return ways


def all_scopes() -> set[str]:
    """Return the granular scopes that read every stream, except those that need a scope to write."""
    known = {stream.name: stream for stream in streams()}
    ways = [ways_to_read(stream, known)[0] for stream in known.values()]
    return {scope for way in ways if not any(each.startswith("write:") for each in way) for scope in way}


def scopes_of_pages() -> str:
    """Return the scopes of pages and posts, and the streams that these scopes read."""
    scopes, known = (
        {"read:page:confluence", "read:space:confluence"},
        {stream.name: stream for stream in streams()},
    )
    names = [name for name, s in known.items() if scopes >= set(ways_to_read(s, known)[0])]
    return f"{as_text(scopes)}\n{these_are_read(names)}"


def scopes_for_an_ai() -> str:
    """Return the scopes of the text for an AI and of those who may see it, and the streams of its recipes."""
    known, queries = {stream.name: stream for stream in streams()}, {r.name: r.query for r in recipes()}
    used, waiting = set[str](), ["text_for_ai"]
    while waiting:
        found = set(re.findall(r'\b(?:FROM|JOIN) "?(\w+)', queries.get(waiting.pop(), ""))) - used
        used |= found
        waiting += found
    names = [name for name in known if name in {*used, "users"}]
    scopes = {scope for name in names for scope in ways_to_read(known[name], known)[0]}
    return f"{as_text(scopes)}\n{these_are_read(names)}"


def these_are_read(streams: list[str]) -> str:
    """Return a sentence that names streams."""
    *names, last = code(streams).split(", ")
    return textwrap.fill(f"This reads {', '.join(names)} and {last}.", 118, break_long_words=False) + "\n"


def as_text(scopes: set[str]) -> str:
    """Return scopes as a block to copy."""
    return "```text\n" + "".join(f"{scope}\n" for scope in sorted(scopes)) + "```\n"


def configured_catalog() -> str:
    """Return a catalog that reads every stream in full, for the standard tests."""
    configured: list[dict[str, Any]] = [
        {
            "stream": {
                "name": stream.name,
                "json_schema": {},
                "supported_sync_modes": ["full_refresh", "incremental"]
                if stream.cursor
                else ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
        for stream in streams()
    ]
    return json.dumps({"streams": configured}, indent=2) + "\n"


if __name__ == "__main__":
    main()
