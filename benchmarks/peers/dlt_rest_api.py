"""Extract all pages with dlt's rest_api source, configured for speed as dlt's documentation advises.

It reads one list (80 requests for 20,000 pages), or one list for each space, several in parallel. The configuration:
the largest page size; selector, paginator and authentication configured, not detected; the connector's default
number of workers, with four times as many waiting; uncompressed intermediate files; no telemetry.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

JOB = json.loads(sys.argv[1])
# dlt reads its settings at import.
os.environ |= {
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "EXTRACT__WORKERS": str(JOB["workers"]),
    "EXTRACT__MAX_PARALLEL_ITEMS": str(4 * JOB["workers"]),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DLT_DATA_DIR": JOB["directory"],
}
import dlt  # noqa: E402 - see above
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator  # noqa: E402 - see above
from dlt.sources.rest_api import rest_api_source  # noqa: E402 - see above


class NextCursor(JSONResponseCursorPaginator):  # type: ignore[misc] # dlt is in a separate environment
    """Take the cursor from the next link; the link itself lacks the body format."""

    _next_reference: str | None

    def update_state(self, response: Any, data: Any = None) -> None:
        """Store the cursor of the next page."""
        super().update_state(response, data)
        found = re.search(r"[?&]cursor=([^&]+)", self._next_reference or "")
        self._next_reference = found[1] if found else None


def main() -> None:
    """Run the job that the command line contains."""
    parameters: dict[str, Any] = {"limit": 250}
    if JOB["bodies"]:
        parameters["body-format"] = "storage"
    pages: dict[str, Any] = {"name": "pages", "endpoint": {"path": "pages", "params": parameters}}
    resources = [pages]
    if JOB["each_space"]:
        parameters["space-id"] = "{resources.spaces.id}"
        pages["parallelized"] = True
        resources.insert(0, {"name": "spaces", "endpoint": {"path": "spaces", "params": {"limit": 250}}})
    client = {
        "base_url": f"{JOB['domain_name']}/wiki/api/v2/",
        "auth": {"type": "http_basic", "username": JOB["email"], "password": JOB["api_token"]},
        "paginator": NextCursor("_links.next", cursor_param="cursor"),
    }
    defaults = {"endpoint": {"data_selector": "results"}}
    source = rest_api_source({"client": client, "resource_defaults": defaults, "resources": resources})
    pipeline = dlt.pipeline("benchmark", pipelines_dir=JOB["directory"], destination="duckdb")
    (metrics,) = pipeline.extract(source).metrics.values()
    tables = [part["table_metrics"].get("pages") for part in metrics]
    print(sum(table.items_count for table in tables if table))


if __name__ == "__main__":
    main()
