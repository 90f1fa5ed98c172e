"""Load all pages as documents with LlamaIndex's reader, by the one query that spans the site."""

from __future__ import annotations

import json
import sys

from llama_index.readers.confluence import ConfluenceReader


def main() -> None:
    """Do the job that the command line holds."""
    job = json.loads(sys.argv[1])
    reader = ConfluenceReader(base_url=f"{job['url']}/wiki", user_name=job["email"], password=job["token"])
    # The number is passed on as the limit of a request, which Confluence lowers to the most that it gives.
    documents = reader.load_data(cql="type=page", max_num_results=job["pages"])
    print(sum(bool(document.text) for document in documents))


if __name__ == "__main__":
    main()
