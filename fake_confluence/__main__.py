"""Serve the invented company, or a generated site, until Ctrl-C."""

from __future__ import annotations

import argparse
import threading

from fake_confluence import Server, company, generate

_SIZES = ("pages", "spaces", "blog_posts", "groups", "users", "audit_events", "body_bytes")


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m fake_confluence", description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="0 for any free one")
    for name in _SIZES:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, metavar="N", help="generate a site of this size")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="delay each response")
    parser.add_argument("--max-page", type=int, default=0, metavar="N", help="records on a page")
    parser.add_argument("--rate", type=int, default=0, metavar="N", help="requests a second; 429 beyond")
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in _SIZES if getattr(given, name) is not None}
    site = generate(**sizes) if sizes else company()
    with Server(site, given.port, given.latency / 1000, max_page=given.max_page, rate=given.rate) as server:
        print(f"Confluence: {server.url}/wiki   email: {server.email}   token: {server.token}")
        print("Ctrl-C ends it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
