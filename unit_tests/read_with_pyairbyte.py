"""Read into DuckDB with PyAirbyte, in its own environment: the streams of each line on stdin, a JSON list.

    python read_with_pyairbyte.py CONFIG CONNECTOR DATABASE

CONNECTOR is the executable or the manifest. After each read the number of its records stands on stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import airbyte

config, connector, database = map(Path, sys.argv[1:])
way = "source_manifest" if connector.suffix == ".yaml" else "local_executable"
source = airbyte.get_source("source-confluence", config=json.loads(config.read_text()), **{way: connector})
cache = airbyte.caches.DuckDBCache(db_path=database)
for line in sys.stdin:
    print(f"records: {source.read(cache, streams=json.loads(line)).processed_records}", flush=True)
