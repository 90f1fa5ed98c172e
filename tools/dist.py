"""Build what a release publishes, and try it as a user would: wheel, sdist and bill of materials.

    python -m tools.dist [DIRECTORY]

The wheel is built from the sdist and installed into an empty environment with the versions of constraints.txt, as in
the image. There it prints its specification and reads pages of the embedded site. Wheel and sdist are in dist/, the
bill of materials (CycloneDX) and the environment in build/release/, below the directory: the repository if none is
named.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic

from common.files import options
from fake_confluence import Server, company

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv-release" / "bin"
CATALOG = {
    "streams": [
        {
            "stream": {"name": "pages", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}


def main() -> None:
    """Build a release and try it."""
    began, base = monotonic(), Path(sys.argv[1] if sys.argv[1:] else ROOT).resolve()
    dist, release = base / "dist", base / "build" / "release"
    for directory in (dist, release):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    run(TOOLS / "python", "-m", "build", "--installer", "uv", "--outdir", dist)  # the wheel from the sdist
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(TOOLS / "python", "-m", "twine", "check", "--strict", wheel, sdist)
    python = release / "environment" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", release / "environment")
    pinned = ("--constraint", ROOT / "constraints.txt", wheel)
    run(TOOLS / "uv", "pip", "install", "--quiet", "--python", python, *pinned)
    pages = count_pages(python.with_name("source-confluence"), release)
    print(f"{pages} pages were read by the installed wheel")
    name, version, *_ = wheel.name.replace("_", "-").rsplit("-", 4)
    materials = release / f"{name}-{version}.cdx.json"
    made = ("--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--output-file", materials)
    run(TOOLS / "cyclonedx-py", "environment", python, *made)
    print(f"{wheel.name}, {sdist.name} and {materials.name} are ready, after {monotonic() - began:.0f} s")


def run(*command: str | Path, directory: Path = ROOT) -> str:
    """Run a command and return its output; stop when it fails."""
    ran = subprocess.run([*map(str, command)], cwd=directory, stdout=subprocess.PIPE, check=False, text=True)  # noqa: S603 - ours
    if ran.returncode:
        sys.exit(f"{ran.stdout}\n{shlex.join(map(str, command))} failed: the release is not ready.")
    return ran.stdout


def count_pages(connector: Path, directory: Path) -> int:
    """Count the pages of the embedded site that an installed connector reads outside the repository."""
    run(connector, "spec", directory=directory)
    with Server(company(small=True)) as site:
        config = {"email": site.email, "api_token": site.token, "domain_name": site.url}
        printed = run(
            connector, "read", *options(directory, config=config, catalog=CATALOG), directory=directory
        )
    pages = [line for line in printed.splitlines() if json.loads(line)["type"] == "RECORD"]
    if not pages:
        sys.exit("The installed connector read no page: the release is not ready.")
    return len(pages)


if __name__ == "__main__":
    main()
