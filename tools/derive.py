"""Write every file that is derived from another one, or check that each is what it would be.

    python -m tools.derive            writes
    python -m tools.derive --check    changes nothing, names what differs, exits with 1 if anything does

Derived are: the foot of the manifest (schemas from source_confluence/schemas/, spec from spec.yaml, index of
streams from the blocks above), the table of streams and the entity diagram in docs/ (from the manifest and
the contract), the query on deletions there (from recipes/), the table of parameters
there (from parameters.yaml), and the catalog of the standard tests.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from source_confluence.source import MANIFEST
from tools.marks import between_marks
from tools.parameters import parameter_table
from tools.recipes import recipes
from tools.streams import FOOT, Stream, handwritten, schemas, spec, streams

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        print(f"{stale_path} {'differs from what it is derived from' if check else 'written'}")
    if check and stale:
        sys.exit("Run `make derived` and commit what it writes.")


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each derived file with the text that it must have.

    The manifest comes first: the others are derived from it.
    """
    yield MANIFEST, manifest_with_foot()
    yield ROOT / "source_confluence" / "access.json", access_by_stream()
    index = ROOT / "docs" / "index.md"
    text = between_marks(index.read_text(encoding="utf-8"), "streams", stream_table())
    yield index, between_marks(text, "entities", entity_diagram())
    oddities = ROOT / "docs" / "oddities.md"
    yield oddities, between_marks(oddities.read_text(encoding="utf-8"), "parameters", parameter_table())
    incremental = ROOT / "docs" / "incremental.md"
    (query,) = (recipe.query for recipe in recipes() if recipe.name == "deletions")
    yield (
        incremental,
        between_marks(incremental.read_text(encoding="utf-8"), "deletions", f"```sql\n{query}\n```\n"),
    )
    yield ROOT / "integration_tests" / "configured_catalog.json", configured_catalog()


def manifest_with_foot() -> str:
    """Return the manifest with its generated foot, one line for each part."""
    parts = [f"  {name}: {json.dumps(schema, ensure_ascii=False)}" for name, schema in schemas().items()]
    index = [f'  - $ref: "#/definitions/streams/{stream.name}"' for stream in streams()]
    lines = ["schemas:", *parts, f"spec: {json.dumps(spec(), ensure_ascii=False)}", "streams:", *index]
    text = "\n".join(lines)
    return f"{handwritten()}\n{FOOT}{text}\n"


def stream_table() -> str:
    """Return the table of all streams in Markdown."""
    head = (
        "Stream",
        "One record is",
        "Primary key",
        "Sync",
        "Requests",
        "Points a request",
        "Scopes: classic",
        "Scopes: granular",
        "Needs",
    )
    rows = [head, ("---",) * len(head), *(table_row(stream) for stream in streams())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table_row(stream: Stream) -> tuple[str, ...]:
    """Return the cells of one stream."""
    operation = stream.operations[0]
    scopes = {
        kind: "<br>".join(
            sorted({f"`{scope}`" for op in stream.operations for scope in op.scopes.get(kind, [])})
        )
        for kind in ("classic", "granular")
    }
    (address,) = stream_address(stream.name)
    return (
        f"[`{stream.name}`]({address})",
        stream.schema["description"].replace("|", "\\|"),
        ", ".join(f"`{field}`" for field in stream.key),
        f"incremental (`{stream.cursor}`)" if stream.cursor else "full",
        requests(stream),
        stream.points,
        scopes["classic"] or "none",
        scopes["granular"] or "none",
        operation.needs or "none",
    )


def stream_address(name: str) -> list[str]:
    """Return the address of the documentation that stands beside a stream in the manifest."""
    base = "https://developer.atlassian.com/cloud/confluence/rest/"
    line = next(line for line in handwritten().splitlines() if line.startswith(f"    {name}:  # "))
    return [base + line.partition("# ")[2].split(",")[0]]


def requests(stream: Stream) -> str:
    """Say what a stream costs in requests."""
    pagination = stream.declared["retriever"]["paginator"].get("pagination_strategy", {})
    size = pagination.get("page_size")
    more = f", 1 more for each further {size if isinstance(size, int) else 250} records" if size else ""
    kind = stream.router.get("type")
    if kind == "ListPartitionRouter":
        values = stream.router["values"]
        each = (
            f"each of {', '.join(values)}"
            if isinstance(values, list)
            else "each type in `custom_content_types`"
        )
        return f"1 for {each}{more}"
    if "accountId" in stream.key and kind == "GroupingPartitionRouter":
        lists = ", ".join(f"`{parent}`" for parent in dict.fromkeys(stream.parents))
        return f"1 for each {stream.router['group_size']} accounts; before, the lists of {lists}"
    if kind == "GroupingPartitionRouter" and stream.router["group_size"] == 100:  # noqa: PLR2004 - see within_spaces
        return f"1 for the site (with space filters: 1 for each 100 spaces){more}"
    if kind == "GroupingPartitionRouter":
        return f"1 for each {stream.router['group_size']} spaces{more}"
    if kind == "SubstreamPartitionRouter":
        changed = "changed " if stream.follows_changes else ""
        return f"1 for each {changed}record of {', '.join(f'`{parent}`' for parent in stream.parents)}{more}"
    if stream.cursor == "creationDate":
        return f"1 for each year since 2004 or the last sync{more}"
    return f"1 for the site{more}"


def entity_diagram() -> str:
    """Return the streams, their keys and how they refer to each other as a Mermaid diagram."""
    lines = ["```mermaid", "erDiagram", "  direction LR"]
    for stream in streams():
        fields = [(field, "PK") for field in stream.key]
        fields += [(field, "FK") for field, _ in stream.references if field not in stream.key]
        lines += [f"  {stream.name} {{", *(f"    string {field} {kind}" for field, kind in fields), "  }"]
    for stream in streams():
        lines += [f"  {target} ||--o{{ {stream.name} : {field}" for field, target in stream.references]
    return "\n".join([*lines, "```", ""])


def access_by_stream() -> str:
    """Return for each stream what `check` and messages say of access to it.

    `needs`: the plan or permission beyond reading the content.
    `scopes`: the sets of scopes, any of which is enough to read the stream and its parents.
    `probes`: streams that a check reads on its behalf. Streams whose operations need the same scopes share one,
    and so do those with the same needs.
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
            "probes": sorted(
                {representatives[grant] for each in with_ancestors(stream, known) for grant in grants(each)}
            ),
        }
        for name, stream in known.items()
    }
    return json.dumps(access, indent=2) + "\n"


def grants(stream: Stream) -> list[str]:
    """Return what an account must have been given to read a stream, apart from its parents."""
    # A check does not look for the scopes to write: the connector does not, and few give them.
    # Nor does it read all lists that name accounts: who can search for users can look them up, by the same scope.
    scopes = [
        {
            kind: [scope for scope in each if not scope.startswith("write:")]
            for kind, each in operation.scopes.items()
            if operation.paging != "bulk" or kind == "granular"
        }
        # Nor does it download files.
        for operation in (stream.operations[:1] if stream.uploader else stream.operations)
    ]
    needs = stream.operations[0].needs
    return [*map(repr, scopes), *([needs] if needs else [])]


def with_ancestors(stream: Stream, known: dict[str, Stream]) -> list[Stream]:
    """Return a stream, its parents, their parents and so on."""
    return [stream, *(s for name in stream.parents for s in with_ancestors(known[name], known))]


def ways_to_read(stream: Stream, known: dict[str, Stream]) -> list[list[str]]:
    """Return the sets of scopes any of which suffices: granular ones, and classic where there are such."""
    operations = [operation for each in with_ancestors(stream, known) for operation in each.operations]
    ways: list[list[str]] = []
    for kind, other in (("granular", "classic"), ("classic", "granular")):
        way = sorted({scope for op in operations for scope in op.scopes.get(kind) or op.scopes[other]})
        if way not in ways:
            ways.append(way)
    return ways


def configured_catalog() -> str:
    """Return a catalog that reads every stream as a whole, for the standard tests."""
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
