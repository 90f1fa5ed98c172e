"""What a release publishes: `make dist`, the installed package, and the workflow that does the same on a tag.

The commands of the README run with the installed package.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from common.connector import ROOT, STREAMS
from fake_confluence import Server, company
from unit_tests import readme
from unit_tests.runners import ALONE, pyairbyte

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = ROOT / ".venv-release" / "bin"
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
NAME, VERSION = (re.findall(rf'^{key} = "(.+)"$', PROJECT, re.MULTILINE)[0] for key in ("name", "version"))
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run what `make dist` runs, and return its directory."""
    directory = tmp_path_factory.mktemp("released")
    command = [sys.executable, "-m", "tools.dist", str(directory)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return directory


@pytest.fixture(scope="module")
def wheel(released: Path) -> Path:
    (wheel,) = (released / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(released: Path) -> str:
    """Return the Python of the empty environment into which the wheel was installed."""
    return str(released / "build" / "release" / "environment" / "bin" / "python")


# ------------------------------------------------------------------ make dist


def test_a_release_is_a_wheel_an_sdist_and_a_bill_of_materials(released: Path) -> None:
    base = f"{NAME.replace('-', '_')}-{VERSION}"
    assert sorted(path.name for path in (released / "dist").iterdir()) == [
        *(f"{base}-py3-none-any.whl", f"{base}.tar.gz")
    ]
    (materials,) = (released / "build" / "release").glob("*.cdx.json")
    assert materials.name == f"{NAME}-{VERSION}.cdx.json"
    bill = json.loads(materials.read_text(encoding="utf-8"))
    root = bill["metadata"]["component"]
    assert (bill["bomFormat"], root["name"], root["version"]) == ("CycloneDX", NAME, VERSION)
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    for component in bill["components"]:
        if component["name"] != "setuptools":  # of the CDK; constraints.txt names what `pip freeze` names
            assert f"\n{component['name']}=={component['version']}\n".lower().replace("_", "-") in pinned
    assert {"airbyte-cdk", "PyYAML", "jsonschema"} <= {component["name"] for component in bill["components"]}
    assert str(released) not in materials.read_text(encoding="utf-8")


def test_the_sdist_contains_no_file_of_the_repository_beside_the_connector(released: Path) -> None:
    (sdist,) = (released / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *("source_confluence", "README.md", "CHANGELOG.md", "LICENSE", "metadata.yaml", "icon.svg"),
        *("pyproject.toml", "PKG-INFO", ".gitignore"),
    }


# ------------------------------------------------------------------ the installed package


def test_the_wheel_contains_only_the_connector(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT) for path in (ROOT / "source_confluence").rglob("*") if path.is_file()}
    expected = {str(path) for path in files if "__pycache__" not in path.parts}
    assert {"source_confluence/py.typed", "source_confluence/access.json"} < expected
    assert {name for name in names if name.startswith("source_confluence/")} == expected
    others = {name.partition("/")[0] for name in names} - {"source_confluence"}
    assert others == {f"{NAME.replace('-', '_')}-{VERSION}.dist-info"}


def test_the_installed_package_has_types(python: str, tmp_path: Path) -> None:
    use = "from source_confluence import SourceConfluence\nSourceConfluence(config={}).streams({{}})\n"
    (tmp_path / "use.py").write_text(use.format("{'domain_name': 'acme'}"))
    (tmp_path / "misuse.py").write_text(use.format("'acme'"))
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "use.py", "misuse.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert re.findall(r"^(\S+):\d+: error: .+\[(.+)\]$", ran.stdout, re.MULTILINE) == [
        ("misuse.py", "arg-type")
    ], ran.stdout


# ------------------------------------------------------------------ README.md, with the installed package

PLAIN, NOTEBOOK = (text for kind, text in readme.BLOCKS if kind == "python")


@pytest.fixture(scope="module")
def newcomer(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("newcomer")
    with Server(company(small=True)) as site:
        readme.arrive(directory, Path(python).parent.parent, site)
        yield directory


@pytest.fixture(scope="module")
def printed(newcomer: Path) -> list[dict[str, Any]]:
    """Run the commands of the README in their order, and return the messages that they print."""
    ran = readme.run(["bash", "-euc", "\n".join(readme.SHELL)], newcomer)
    return [json.loads(line) for line in ran.splitlines()]


def test_the_commands_of_the_readme_read_the_named_streams(
    newcomer: Path, printed: list[dict[str, Any]]
) -> None:
    assert [m["connectionStatus"]["status"] for m in printed if "connectionStatus" in m] == ["SUCCEEDED"] * 2
    read, changed = (
        readme.messages(newcomer / f"{name}.jsonl")["RECORD"] for name in ("messages", "changed")
    )
    assert {message["record"]["stream"] for message in read} == {"space", "pages"}
    pages = [[m for m in found if m["record"]["stream"] == "pages"] for found in (read, changed)]
    assert len(pages[0]) > len(pages[1])


@pytest.mark.usefixtures("printed")
def test_the_installed_package_discovers_every_schema(newcomer: Path) -> None:
    (catalog,) = readme.messages(newcomer / "discovered.json")["CATALOG"]
    assert {found["name"]: found["json_schema"] for found in catalog["catalog"]["streams"]} == {
        name: stream.schema for name, stream in STREAMS.items()
    }


@pytest.mark.usefixtures("printed")
def test_the_plain_python_of_the_readme_prints_records(newcomer: Path) -> None:
    lines = readme.run([sys.executable, "-c", PLAIN], newcomer).splitlines()
    assert {line.split(" ")[0] for line in lines} == {"space", "pages"}


@pytest.mark.usefixtures("printed")
def test_the_plain_python_of_the_readme_ends_with_an_error_if_the_read_is_incomplete(
    newcomer: Path, tmp_path: Path
) -> None:
    directory = shutil.copytree(newcomer, tmp_path / "newcomer", symlinks=True)
    config = directory / "secrets" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_bytes()), "api_token": "wrong"}), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN], cwd=directory, env=ALONE, capture_output=True, check=False, text=True
    )
    assert ran.returncode == 1
    assert ran.stderr.endswith("Not complete: source-confluence ended with 1\n")


def test_the_notebook_of_the_readme_shows_pages(newcomer: Path) -> None:
    output = readme.run([str(pyairbyte("python")), "-c", NOTEBOOK], newcomer)
    assert re.search(r"title +updatedat\n0 +\S+", output)


def test_the_installed_package_starts_as_a_module(python: str, tmp_path: Path) -> None:
    ran = readme.run([python, "-m", "source_confluence", "spec"], tmp_path)
    (message,) = [line for line in map(json.loads, ran.splitlines()) if line["type"] == "SPEC"]
    assert message["spec"]["connectionSpecification"]["title"] == "Confluence Spec"


# ------------------------------------------------------------------ the image and the workflow


def test_the_image_gets_every_file_that_the_wheel_needs(wheel: Path, tmp_path: Path) -> None:
    lines = re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "context").mkdir()
    for name in (name for line in lines for name in line.split()[:-1]):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / "context" / name)
    build = ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(tmp_path / "context")]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (built,) = tmp_path.glob("*.whl")
    assert sorted(zipfile.ZipFile(built).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def complaints(workflow: Path) -> str:
    """Return what zizmor and GitHub's schema say against a workflow."""
    audit = [TOOLS / "zizmor", "--offline", "--no-progress", "--persona", "pedantic", workflow]
    schema = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow]
    found = ""
    for command in (audit, schema):
        ran = subprocess.run([*map(str, command)], capture_output=True, check=False, text=True)
        found += f"{ran.stdout}{ran.stderr}" if ran.returncode else ""
    return found


def test_the_workflow_is_valid_and_safe() -> None:
    assert complaints(WORKFLOW) == ""


@pytest.mark.parametrize(
    "faults",
    [
        [
            ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "unpinned-uses"),
            ("        with:\n          persist-credentials: false\n", "", "artipacked"),
            ("permissions: {}\n\nconcurrency", "concurrency", "excessive-permissions"),
        ],
        [("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "'runs-on' is a required property")],
    ],
)
def test_a_fault_in_the_workflow_is_found(tmp_path: Path, faults: list[tuple[str, str, str]]) -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    for before, after, _ in faults:
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "release.yml").write_text(text)
    said = complaints(tmp_path / "release.yml")
    assert [complaint for *_, complaint in faults if complaint not in said] == []


def test_the_workflow_tests_every_supported_python_and_builds_with_make() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    oldest, newest = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', PROJECT, re.MULTILINE)[0]
    supported = [f"3.{minor}" for minor in range(int(oldest), int(newest))]
    for name in ("test", "install"):
        assert jobs[name]["strategy"]["matrix"]["python"] == supported
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert "bash .ci/run" in commands["test"]
    assert "make dist" in commands["build"]
    for name in ("package", "image"):
        assert set(jobs[name]["needs"]) == {"test", "build", "install"}
