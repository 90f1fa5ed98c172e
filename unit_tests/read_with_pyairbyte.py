"""Read into a database with PyAirbyte, in its own environment: the streams of each line on stdin, as JSON.

    python read_with_pyairbyte.py CONFIG CONNECTOR DATABASE

CONNECTOR is the executable or the manifest. DATABASE is a DuckDB file, or the port of a PostgreSQL server on
this machine. After each read the number of its records stands on stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import airbyte

config, connector = map(Path, sys.argv[1:3])
database = sys.argv[3]
way = "source_manifest" if connector.suffix == ".yaml" else "local_executable"
source = airbyte.get_source("source-confluence", config=json.loads(config.read_text()), **{way: connector})
if database.isdigit():
    server = {"host": "127.0.0.1", "port": int(database), "database": "postgres"}
    cache = airbyte.caches.PostgresCache(**server, username="confluence", password="", schema_name="public")
else:
    cache = airbyte.caches.DuckDBCache(db_path=database)
for line in sys.stdin:
    print(f"records: {source.read(cache, streams=json.loads(line)).processed_records}", flush=True)
