"""Read all pages with sequential requests and write them to a file: the minimum time for sequential requests."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import orjson
import requests


def main() -> None:
    """Run the job that the command line contains."""
    job = orjson.loads(sys.argv[1])
    parameters = {"limit": "250"}
    if job["bodies"]:
        parameters["body-format"] = "storage"
    count = 0
    with requests.Session() as session, (Path(job["directory"]) / "pages.jsonl").open("wb") as written:
        session.auth = (job["email"], job["api_token"])
        while True:
            response = session.get(f"{job['domain_name']}/wiki/api/v2/pages", params=parameters, timeout=60)
            response.raise_for_status()
            page = orjson.loads(response.content)
            for record in page["results"]:
                written.write(orjson.dumps(record) + b"\n")
                count += 1
            link = re.search(r"[?&]cursor=([^&]+)", page["_links"].get("next", ""))
            if not link:
                break
            parameters["cursor"] = link[1]
    print(count)


if __name__ == "__main__":
    main()
