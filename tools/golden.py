"""Write integration_tests/expected_records.jsonl: one record of every stream, read from the embedded site.

    python -m tools.golden

The tests hold what is read against it, so that no field changes unseen: a difference in it is for a reviewer.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.streams import streams
from fake_confluence import Server, company
from tools.derive import ROOT
from tools.load import discover, run

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = ROOT / "integration_tests" / "expected_records.jsonl"


def main() -> None:
    """Read the site and write the file."""
    with Server(company(small=True)) as site, tempfile.TemporaryDirectory() as directory:
        types = sorted({record["type"] for record in site.site.records("custom_content")})
        config = Path(directory) / "config.json"
        settings = {"email": site.email, "api_token": site.token, "domain_name": site.url}
        config.write_text(json.dumps(settings | {"custom_content_types": types, "version_bodies": True}))
        catalog = Path(directory) / "catalog.json"
        discover(config, catalog)
        messages = run("read", "--config", config, "--catalog", catalog)
        FILE.write_text(first_records(m["record"] for m in messages if "record" in m), encoding="utf-8")


def first_records(records: Iterable[dict[str, Any]]) -> str:
    """Return the record of each stream whose key comes first, one a line.

    Args:
        records: Objects with the `stream` and the `data` of a record.

    """
    keys = {stream.name: stream.key for stream in streams()}
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for record in records:
        name, data = record["stream"], record["data"]
        key = json.dumps([data[field] for field in keys[name]])
        if name not in first or key < first[name][0]:
            first[name] = key, data
    lines = (json.dumps({"stream": name, "data": first[name][1]}, sort_keys=True) for name in sorted(first))
    text = "".join(f"{line}\n" for line in lines)
    # The port of the embedded site differs each time, and restrictions contain the requested limit.
    text = re.sub(r"http://127\.0\.0\.1:\d+", "https://example.atlassian.net", text)
    return re.sub(r'"limit": \d+', '"limit": 200', text)


if __name__ == "__main__":
    main()
