"""Other programs that run the manifest: Airbyte's declarative runner, PyAirbyte, the Connector Builder's server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests
import yaml

from common.connector import CONNECTOR, ROOT, STREAMS, Output, output_of
from common.files import options
from source_confluence.source import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

# Do not look for connectors in Airbyte's registry, and do not send telemetry.
ALONE = {**os.environ, "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"}
# PyAirbyte (0.71.3) makes a text column for a field of several types, but does not convert its values to text.
OF_SEVERAL_TYPES = [
    name
    for name, stream in STREAMS.items()
    if any(
        len({*field["type"]} - {"null"}) > 1
        for field in stream.schema["properties"].values()
        if isinstance(field["type"], list)
    )
]


def with_the_declarative_runner(
    directory: Path, *, catalog: Any, state: Any, python: Path = CONNECTOR
) -> Output:
    """Read with Airbyte's declarative runner and a copy of the manifest, without this project's package."""
    runner = str(python.with_name("source-declarative-manifest"))
    files = ["--config", "config.json", *options(directory, catalog=catalog, state=state or [])]
    ran = subprocess.run(
        [runner, "read", "--manifest-path", "manifest.yaml", *files],
        cwd=directory,
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    return output_of(ran.stdout, ran.stderr, ran.returncode)


def pyairbyte(command: str) -> Path:
    path = ROOT / ".venv-pyairbyte" / "bin" / command
    assert path.exists(), f"there is no {path}: run `make .venv-pyairbyte/.ready`"
    return path


# Run a Python program that parses each YAML text once: for each call, the Builder's CDK parses the schema of manifests,
# a text of its own, which takes a third of a second.
PARSED_ONCE = """
import functools, runpy, sys, yaml
yaml.load, sys.argv = functools.cache(yaml.load), sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# The Builder's limits of a test read.
LIMITS = {"record_limit": 1000, "page_limit": 5, "slice_limit": 5}


Manifest = dict[str, Any]


class Builder:
    """The calls that the Builder's user interface makes."""

    def __init__(self, url: str, config: dict[str, Any]) -> None:
        self.url, self.config = f"{url}/v1", config
        self.given: Manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
        # An import sends these flags; all later calls use the resolved manifest.
        flags = {"__should_migrate": True, "__should_normalize": True}
        self.manifest: Manifest = self.call("resolve", manifest={**self.given, **flags})["manifest"]
        self.streams = {stream["name"]: stream for stream in self.manifest["streams"]}

    def call(self, command: str, **body: Any) -> dict[str, Any]:
        response = requests.post(f"{self.url}/manifest/{command}", json=body, timeout=600)
        assert response.status_code == 200, response.text[:2000]
        return dict(response.json())

    def test_read(self, name: str, manifest: Manifest, state: Any = ()) -> dict[str, Any]:
        wanted = {"manifest": manifest, "config": self.config, "stream_name": name, "state": list(state)}
        return self.call("test_read", **wanted, **LIMITS)

    def cut_down_to(self, name: str) -> Manifest:
        """Return the manifest with one stream and the streams that it refers to.

        The Builder sends the whole manifest, which costs the server two seconds for each read.
        """
        kept: list[int] = []
        line = [list(self.streams).index(name)]
        while line:
            index = line.pop()
            kept.append(index)
            found = re.findall(r'"#/streams/(\d+)"', json.dumps(self.manifest["streams"][index]))
            line += {int(parent) for parent in found} - {*kept, *line}
        text = json.dumps([self.manifest["streams"][index] for index in kept])
        moved = re.sub(r'"#/streams/(\d+)"', lambda link: f'"#/streams/{kept.index(int(link[1]))}"', text)
        return {**self.manifest, "streams": json.loads(moved)}


def records_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [record for part in response["slices"] for page in part["pages"] for record in page["records"]]


@contextmanager
def manifest_server(python: Path) -> Iterator[str]:
    """Run the CDK's manifest server of an environment in its own process."""
    command = python.with_name("manifest-server")
    assert command.exists(), f"there is no {command}: run `make {python.parent.parent.name}/.ready`"
    ordered: list[str | Path] = [python, "-c", PARSED_ONCE, command, "start", "--port", "0"]
    with subprocess.Popen(ordered, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        printed = []
        for line in process.stderr:
            printed.append(line)
            if address := re.search(r"running on (http://\S+)", line):
                break
        assert address, "".join(printed)
        rest = Thread(target=deque, args=(process.stderr, 0))  # otherwise its log fills the pipe
        rest.start()
        try:
            yield address[1]
        finally:
            process.terminate()
            rest.join()


class PyAirbyte:
    """PyAirbyte in its own process, which reads into one database.

    Attributes:
        counts: The number of records of each read.
    """

    def __init__(self, config: Path, source: Path, database: str) -> None:
        """Start; the arguments are those of `read_with_pyairbyte.py`."""
        self.counts: list[int] = []
        self._log = config.with_name(f"{source.name}.log")
        self._process = subprocess.Popen(
            [
                pyairbyte("python"),
                Path(__file__).with_name("read_with_pyairbyte.py"),
                config,
                source,
                database,
            ],
            cwd=config.parent,
            env=ALONE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
        )

    def settle(self) -> None:
        """Apply the settings for PostgreSQL from now on."""
        print(file=self._process.stdin, flush=True)

    def begin(self, streams: list[str]) -> None:
        """Begin to read streams."""
        print(json.dumps(streams), file=self._process.stdin, flush=True)

    def finish(self) -> None:
        """Wait until they are read."""
        assert self._process.stdout
        line = next((each for each in self._process.stdout if each.startswith("records: ")), None)
        assert line, self._log.read_text()[-4000:]
        self.counts.append(int(line.removeprefix("records: ")))

    def end(self) -> tuple[int, str]:
        """End after the last read; return the exit code and the end of the log."""
        self._process.communicate()
        return self._process.returncode, self._log.read_text()[-4000:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
