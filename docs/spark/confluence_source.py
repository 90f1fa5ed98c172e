"""Read Confluence with Spark 4. You can copy this file; it needs pyspark, and the connector on every worker.

    spark.sparkContext.addPyFile("confluence_source.py")
    from confluence_source import ConfluenceSource
    spark.dataSource.register(ConfluenceSource)
    spark.read.format("confluence").options(config="secrets/config.json", stream="pages", parts=8).load()

A partition is a part of the site, which a process of the connector reads. A part that fails fails its task, with the
sentence of the connector, and Spark tries it again. The driver reads the configuration and the schema, and no records.
Use an API token or a service account: a refresh token of oauth2.0 works once, and the parts would share one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import types
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALARS = {"boolean": types.BooleanType, "integer": types.LongType, "number": types.DoubleType}


class ConfluenceSource(DataSource):
    """A stream. Options: config (a file), stream, parts (1), command (source-confluence)."""

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "confluence"

    def schema(self) -> types.StructType:
        """Return the schema of the stream, as the connector describes it."""
        catalog = next(m["catalog"] for m in run(self.options, "discover") if m["type"] == "CATALOG")
        found = {stream["name"]: stream["json_schema"] for stream in catalog["streams"]}
        if self.options["stream"] not in found:
            raise ValueError(
                f"There is no stream {self.options['stream']}. The streams are {', '.join(found)}."
            )
        return spark_type(found[self.options["stream"]])

    def reader(self, schema: types.StructType) -> ConfluenceReader:
        """Return what reads the parts."""
        return ConfluenceReader({"parts": "1", **self.options}, schema)


class ConfluenceReader(DataSourceReader):
    """Read the parts of a stream, each in a task of its own."""

    def __init__(self, options: dict[str, str], schema: types.StructType) -> None:
        self.options, self.schema = options, schema
        self.config = json.loads(Path(options["config"]).read_bytes())
        if (self.config.get("credentials") or {}).get("auth_type") == "oauth2.0":
            raise ValueError("Use an API token or a service account: a refresh token of oauth2.0 works once.")

    def partitions(self) -> list[InputPartition]:
        """Return the parts."""
        parts = int(self.options["parts"])
        return [InputPartition(f"{number}/{parts}") for number in range(1, parts + 1)]

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a part."""
        stream = {"name": self.options["stream"], "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
        files = {
            "config": {**self.config, "part": partition.value},
            "catalog": {"streams": [{"stream": stream, **modes}]},
        }
        for message in run(self.options, "read", **files):
            if message["type"] == "RECORD":
                yield converted(message["record"]["data"], self.schema)


def run(options: dict[str, str], command: str, **files: Any) -> Iterator[dict[str, Any]]:
    """Run the connector, and yield its messages.

    Raises:
        RuntimeError: It failed; the message is its sentence.
    """
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile("w+") as said:
        given = {"config": options["config"]}
        for name, content in files.items():
            given[name] = f"{directory}/{name}.json"
            Path(given[name]).write_text(json.dumps(content), encoding="utf-8")
        arguments = [word for name, path in given.items() for word in (f"--{name}", path)]
        called = [options.get("command", "source-confluence"), command, *arguments]
        with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=said) as process:  # noqa: S603 - our own script
            assert process.stdout
            try:
                yield from map(json.loads, process.stdout)
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().strip())


def spark_type(schema: dict[str, Any]) -> Any:
    """Return the type of a field; text for what has several types or an unknown form."""
    named = schema.get("type")
    kinds = [kind for kind in ([named] if isinstance(named, str) else named or []) if kind != "null"]
    if kinds == ["object"] and schema.get("properties"):
        fields = schema["properties"].items()
        return types.StructType([types.StructField(name, spark_type(field)) for name, field in fields])
    if kinds == ["array"] and "items" in schema:
        return types.ArrayType(spark_type(schema["items"]))
    return SCALARS.get(kinds[0], types.StringType)() if len(kinds) == 1 else types.StringType()


def converted(value: Any, kind: Any) -> Any:
    """Return a value as the type needs it; null where it has another type."""
    if isinstance(kind, types.StructType):
        return (
            tuple(converted(value.get(f.name), f.dataType) for f in kind) if isinstance(value, dict) else None
        )
    if isinstance(kind, types.ArrayType):
        return [converted(item, kind.elementType) for item in value] if isinstance(value, list) else None
    if isinstance(kind, types.StringType):
        return value if value is None or isinstance(value, str) else json.dumps(value)
    if isinstance(kind, types.BooleanType) or isinstance(value, bool):
        return value if isinstance(kind, types.BooleanType) and isinstance(value, bool) else None
    if isinstance(kind, types.DoubleType):
        return float(value) if isinstance(value, (int, float)) else None
    return value if isinstance(value, int) else None
