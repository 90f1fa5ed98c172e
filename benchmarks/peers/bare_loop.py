"""Read all pages in one chain and write them down: what no reader of one chain can undercut."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import orjson
import requests


def main() -> None:
    """Do the job that the command line holds."""
    job = orjson.loads(sys.argv[1])
    asked = {"limit": "250"}
    if job["bodies"]:
        asked["body-format"] = "storage"
    count = 0
    with requests.Session() as session, (Path(job["directory"]) / "pages.jsonl").open("wb") as written:
        session.auth = (job["email"], job["token"])
        while True:
            response = session.get(f"{job['url']}/wiki/api/v2/pages", params=asked, timeout=60)
            response.raise_for_status()
            answer = orjson.loads(response.content)
            for record in answer["results"]:
                written.write(orjson.dumps(record) + b"\n")
                count += 1
            link = re.search(r"[?&]cursor=([^&]+)", answer["_links"].get("next", ""))
            if not link:
                break
            asked["cursor"] = link[1]
    print(count)


if __name__ == "__main__":
    main()
