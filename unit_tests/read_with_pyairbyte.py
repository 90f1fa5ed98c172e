"""Read into a database with PyAirbyte, in its own environment: each line of stdin is a JSON list of streams.

    python read_with_pyairbyte.py CONFIG CONNECTOR DATABASE

CONNECTOR is the executable or the manifest. DATABASE is a DuckDB file, or PORT:NAME of a PostgreSQL database on
this machine. From an empty line of stdin on, the settings of docs/platform.md for PostgreSQL apply. After each read,
the script prints the number of its records on stdout.
"""

from __future__ import annotations

import functools
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import airbyte
import pandas as pd

config, connector = map(Path, sys.argv[1:3])
database = sys.argv[3]
way = "source_manifest" if connector.suffix == ".yaml" else "local_executable"
source = airbyte.get_source("source-confluence", config=json.loads(config.read_text()), **{way: connector})
port, _, name = database.partition(":")
if name:
    server = {
        "host": "127.0.0.1",
        "port": int(port),
        "database": name,
        "username": "confluence",
        "password": "",
    }
    cache = airbyte.caches.PostgresCache(**server, schema_name="public")
else:
    cache = airbyte.caches.DuckDBCache(db_path=database)
modes = {stream.name: stream.supported_sync_modes for stream in source.discovered_catalog.streams}
settled = False
for line in sys.stdin:
    if not line.strip():
        pd.read_json = functools.partial(pd.read_json, dtype=False, convert_dates=False)
        settled = True
        continue
    streams, began = json.loads(line), datetime.now(timezone.utc).replace(tzinfo=None)
    count = source.read(cache, streams=streams).processed_records
    for stream in streams:
        if settled and len(modes[stream]) == 1:
            cache.execute_sql(f"DELETE FROM \"{stream}\" WHERE _airbyte_extracted_at < '{began}'")
    print(f"records: {count}", flush=True)
