"""What a release publishes: `make dist`, the installed package, and the workflow that does the same on a tag."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from common.connector import ROOT, STREAMS
from fake_confluence import Server, company
from unit_tests import readme

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
    expected = {str(path) for path in files if path.suffix != ".pyc"}
    assert {"source_confluence/py.typed", "source_confluence/access.json"} < expected
    assert {name for name in names if name.startswith("source_confluence/")} == expected
    others = {name.partition("/")[0] for name in names} - {"source_confluence"}
    assert others == {f"{NAME.replace('-', '_')}-{VERSION}.dist-info"}


def test_the_installed_package_starts_as_a_module_and_as_a_script(python: str, tmp_path: Path) -> None:
    script = str(Path(python).with_name("source-confluence"))
    for command in ([python, "-m", "source_confluence"], [script]):
        ran = subprocess.run([*command, "spec"], cwd=tmp_path, capture_output=True, check=True, text=True)
        (message,) = [line for line in map(json.loads, ran.stdout.splitlines()) if line["type"] == "SPEC"]
        assert message["spec"]["connectionSpecification"]["title"] == "Confluence Spec"


def test_the_installed_package_discovers_every_schema(python: str, tmp_path: Path) -> None:
    code = (
        "import json, logging; from source_confluence import SourceConfluence\n"
        "config = {'domain_name': 'acme', 'email': 'a@example.com', 'api_token': 'x'}\n"
        "catalog = SourceConfluence(config=config).discover(logging.getLogger(), config)\n"
        "print(json.dumps({stream.name: stream.json_schema for stream in catalog.streams}))"
    )
    ran = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert json.loads(ran.stdout) == {name: stream.schema for name, stream in STREAMS.items()}


def test_the_installed_package_runs_the_commands_of_the_readme(python: str, tmp_path: Path) -> None:
    with Server(company(small=True)) as site:
        readme.arrive(tmp_path, Path(python).parent.parent, site)
        readme.run(["bash", "-euc", "\n".join(readme.SHELL)], tmp_path)
    assert readme.messages(tmp_path / "messages.jsonl")["RECORD"]


@pytest.mark.parametrize(("config", "errors"), [("{'domain_name': 'acme'}", 0), ("'acme'", 1)])
def test_the_installed_package_has_types(python: str, tmp_path: Path, config: str, errors: int) -> None:
    code = (
        f"from source_confluence import SourceConfluence\nSourceConfluence(config={config}).streams({{}})\n"
    )
    (tmp_path / "use.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "use.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert ran.stdout.count("error:") == ran.stdout.count("[arg-type]") == errors, ran.stdout


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
    ("before", "after", "complaint"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "unpinned-uses"),
        ("        with:\n          persist-credentials: false\n", "", "artipacked"),
        ("permissions: {}\n\nconcurrency", "concurrency", "excessive-permissions"),
        ("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "'runs-on' is a required property"),
    ],
)
def test_a_fault_in_the_workflow_is_found(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    (tmp_path / "release.yml").write_text(WORKFLOW.read_text(encoding="utf-8").replace(before, after))
    assert complaint in complaints(tmp_path / "release.yml")


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
