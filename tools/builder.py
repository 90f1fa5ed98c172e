"""List what was changed in the Connector Builder, so that it can be taken back into the manifest.

    python -m tools.builder exported.yaml

The Builder writes its own form of a manifest, many times as long and without comments. Both that and ours are
brought into that form here, by the code that the Builder calls, and compared value by value.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbyte_cdk.manifest_server.api_models import ResolveRequest
from airbyte_cdk.manifest_server.routers.manifest import resolve
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from source_confluence.source import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_SET = object()


def main() -> None:
    """Print each difference with the streams that have it."""
    manifests = [resolved(path) for path in (MANIFEST, Path(sys.argv[1]))]
    whole = {text_of(stream): stream["name"] for manifest in manifests for stream in manifest["streams"]}
    ours, theirs = (parts(manifest, whole) for manifest in manifests)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, values in ours.items():
        for change in changes(values, theirs[name]) if name in theirs else ["is gone"]:
            found[change].append(name)
    for name in theirs.keys() - ours.keys():
        found["is new"].append(name)
    for change, names in found.items():
        print(f"{change}:\n    {', '.join(names)}")
    if not found:
        print("Nothing differs.")


def resolved(path: Path) -> dict[str, Any]:
    """Return a manifest in the Builder's form, with every reference resolved."""
    return dict(ManifestReferenceResolver().preprocess_manifest(imported(path)))


@cache
def imported(path: Path) -> dict[str, Any]:
    """Return a manifest as the Builder has it after an import."""
    manifest = safe_load_yaml(path.read_text(encoding="utf-8"))
    flags = {"__should_migrate": True, "__should_normalize": True}
    resolved = resolve(ResolveRequest.model_validate({"manifest": {**manifest, **flags}}))
    return dict(resolved.manifest.model_dump())


def parts(manifest: dict[str, Any], whole: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the values of each stream by name, and those of the rest.

    Args:
        manifest: A manifest without references.
        whole: The names of all streams of both manifests, by their text.
    """
    streams = {
        stream["name"]: {
            path: value
            for key, part in stream.items()
            for path, value in leaves(with_parents_named(part, whole), key)
        }
        for stream in manifest["streams"]
    }
    rest = {key: manifest[key] for key in ("check", "concurrency_level", "spec") if key in manifest}
    return {**streams, "the connector itself": dict(leaves(rest))}


def with_parents_named(node: Any, whole: dict[str, str]) -> Any:
    """Replace each parent that is a whole stream by its name: changes in that stream are listed there.

    An export without references has a copy of the parent instead, which a change of the stream does not reach.
    """
    if isinstance(node, dict):
        is_stream = "retriever" in node and "name" in node
        named = whole.get(text_of(node)) if is_stream else None
        return named or {key: with_parents_named(value, whole) for key, value in node.items()}
    return [with_parents_named(value, whole) for value in node] if isinstance(node, list) else node


def text_of(stream: dict[str, Any]) -> str:
    """Return a stream as text, in which two streams that are the same are equal."""
    return json.dumps(stream, sort_keys=True)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value in a tree with its path."""
    if isinstance(node, dict | list) and node:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def changes(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """Yield a description of each difference between two sets of values."""
    for path in [*ours, *(path for path in theirs if path not in ours)]:
        values = [side.get(path, NOT_SET) for side in (ours, theirs)]
        if values[0] != values[1]:
            was, now = ("not set" if value is NOT_SET else repr(value) for value in values)
            yield f"{path} was {was} and is now {now}"


if __name__ == "__main__":
    main()
