"""The parts of a site on engines that exist: Spark, and Kubernetes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from common.connector import CONNECTOR, ROOT, config_for, configured, connector, output_of
from fake_confluence import Server, company

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = ROOT / ".venv-engines" / "bin" / "python"
SOURCE = ROOT / "docs" / "spark" / "confluence_source.py"
JOB = ROOT / "docs" / "kubernetes" / "job.yaml"

# ---------------------------------------------------------------- Spark


@pytest.fixture
def small() -> Iterator[Server]:
    with Server(company(small=True)) as running:
        yield running


@pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java: Debian's openjdk-17-jre-headless")
def test_spark_reads_the_rows_of_one_read(small: Server, tmp_path: Path) -> None:
    """Four workers. A part of the posts fails once, and Spark tries it again; all parts of the tasks always fail."""
    config = config_for(small, _max_retries=0)
    small.fail("/wiki/api/v2/blogposts", times=1, status=500)
    small.fail("/wiki/api/v2/tasks", times=None, status=500)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    streams = ["pages", "blog_posts", "tasks"]
    script = Path(__file__).with_name("read_with_spark.py")
    ran = subprocess.run(
        [PYTHON, script, SOURCE, tmp_path / "config.json", CONNECTOR, tmp_path, *streams],
        env={**os.environ, "PYSPARK_PYTHON": str(PYTHON), "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=1800,  # several reads, and a JVM: 106 s on an idle machine
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found = {name: json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in streams}
    small.heal()
    read = connector("read", config, select=["pages", "blog_posts"])
    for name in ("pages", "blog_posts"):
        rows = [json.loads(row) for row in found[name]["rows"]]
        assert found[name]["partitions"] == 4
        assert read.records[name]
        assert Counter(row["id"] for row in rows) == Counter(record["id"] for record in read.records[name])
        by_id = {record["id"]: record for record in read.records[name]}
        for row in rows:
            assert {field: by_id[row["id"]].get(field) for field in row if field in SIMPLE} == {
                field: value for field, value in row.items() if field in SIMPLE
            }
    assert "Confluence failed to respond (5xx)." in found["tasks"]["failure"]


def test_the_spark_source_refuses_a_grant_that_works_once(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credentials": {"auth_type": "oauth2.0"}}), encoding="utf-8")
    code = f"import confluence_source as s; s.ConfluenceSource({{'config': {str(config)!r}}}).reader(None)"
    ran = subprocess.run([PYTHON, "-c", code], cwd=SOURCE.parent, capture_output=True, check=False, text=True)
    assert "ValueError: Use an API token or a service account" in ran.stderr


SIMPLE = (
    "id",
    "title",
    "status",
    "spaceId",
    "createdAt",
    "parentId",
    "authorId",
    "position",
)

# ---------------------------------------------------------------- Kubernetes


def job() -> dict[str, Any]:
    return dict(yaml.safe_load(JOB.read_text(encoding="utf-8")))


def test_the_job_fits_the_schema_of_kubernetes(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        JOB.read_text(encoding="utf-8").replace("completionMode", "completionModus"), encoding="utf-8"
    )
    for path, fits in ((JOB, True), (wrong, False)):
        command = [str(PYTHON.with_name("kubernetes-validate")), "--strict", "-k", "1.37", str(path)]
        ran = subprocess.run(command, capture_output=True, check=False, text=True)
        assert (ran.returncode == 0) == fits, ran.stdout + ran.stderr


def test_the_pods_of_the_job_read_one_site(small: Server, tmp_path: Path) -> None:
    spec = job()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert int(given["PARTS"]) == spec["completions"]
    parts = 2  # fewer, to save time
    folders = {name: tmp_path / name for name in ("SETTINGS", "OUTPUT", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    assert {str(given[name]) for name in folders} == {each["mountPath"] for each in container["volumeMounts"]}
    (folders["SETTINGS"] / "config.json").write_text(json.dumps(config_for(small)), encoding="utf-8")
    catalog = {"streams": [configured(name) for name in ("space", "pages", "users")]}
    (folders["SETTINGS"] / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **given, **{name: str(path) for name, path in folders.items()}}
    for index in range(parts):
        more = {"PATH": path, "PARTS": str(parts), "JOB_COMPLETION_INDEX": str(index)}
        subprocess.run(container["command"], env={**environment, **more}, check=True, timeout=600)
    files = sorted(folders["OUTPUT"].iterdir())
    assert [file.name for file in files] == ["0.jsonl", "1.jsonl"]
    outputs = [output_of(file.read_text(encoding="utf-8"), "", 0) for file in files]
    whole = connector("read", config_for(small), select=["space", "pages", "users"])
    for name, records in whole.records.items():
        found = [json.dumps(r, sort_keys=True) for output in outputs for r in output.records[name]]
        assert Counter(found) == Counter(json.dumps(r, sort_keys=True) for r in records)
