"""Read streams with Spark 4 in local mode, several workers, and write the rows of each, or why it failed.

python read_with_spark.py SOURCE CONFIG CONNECTOR RESULTS STREAM ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

source, config, connector, results, *streams = sys.argv[1:]
session = SparkSession.builder.master("local[4, 2]").config("spark.ui.enabled", "false").getOrCreate()
session.sparkContext.addPyFile(source)
from confluence_source import ConfluenceSource  # noqa: E402 - Spark has put it on the path

session.dataSource.register(ConfluenceSource)
for stream in streams:
    options = {"config": config, "stream": stream, "parts": 4, "command": connector}
    try:
        frame = session.read.format("confluence").options(**options).load()
        found = {"rows": frame.toJSON().collect(), "partitions": frame.rdd.getNumPartitions()}
    except Exception as failure:  # noqa: BLE001 - the test reads why
        found = {"failure": str(failure)}
    Path(results, f"{stream}.json").write_text(json.dumps(found), encoding="utf-8")
session.stop()
