"""Merge the states of the parts of a site, so that another number of parts continues where these ended.

    python -m tools.parts --into 4 1.json 2.json … 8.json > state.json

The files are the states of all parts, in their order, or the databases of tools/load.py (1.duckdb …). Every new part
starts from the printed state. You can copy this program; it needs only Python, and duckdb for databases. Run it when
all parts have ended. For one connection, name it 1/1.

A cursor that holds for the spaces of a part is taken from that part alone. For a list that the parts share, the oldest
cursor counts. Where a part has none, the stream is read from its beginning, and the program says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from math import gcd
from pathlib import Path
from typing import Any

State = dict[str, Any]
CHOSEN = re.compile(r"(\S+)(?: (\d+)/(\d+))?")  # the chosen spaces, and the part


def main() -> None:
    """Print the merged state."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", metavar="PARTS", type=int, required=True, help="the new number of parts")
    parser.add_argument(
        "states", type=Path, nargs="+", help="the state of each part, from the first to the last"
    )
    args = parser.parse_args()
    print(json.dumps(merge([state_of(path) for path in args.states], args.into)))


def state_of(path: Path) -> list[State]:
    """Return the state in a file, or in the database, of a part.

    Raises:
        SystemExit: There is none.

    """
    if path.suffix != ".duckdb":
        try:
            states: list[State] = json.loads(path.read_bytes())
            # This fails unless it is a state.
            _ = [state["stream"]["stream_descriptor"]["name"] for state in states[:]]
        except (OSError, ValueError, LookupError, TypeError) as failure:
            sys.exit(f"{path} has no state: {failure}")
        return states
    import duckdb  # noqa: PLC0415 - only databases need it; for files, this program runs with Python alone

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return state_in(connection)
    except duckdb.Error as failure:
        sys.exit(f"{path} has no state: {failure}")


def state_in(connection: Any) -> list[State]:
    """Return the state that a database keeps, of every stream that has one."""
    kept = connection.execute("SELECT state FROM _syncs WHERE state IS NOT NULL AND state <> 'null'")
    return [json.loads(state) for (state,) in kept.fetchall()]


def merge(parts: list[list[State]], into: int) -> list[State]:
    """Return the state from which each of `into` parts continues what these parts have read.

    Args:
        parts: The state of each part, in order: as the connector takes it.
        into: The new number of parts.
    """
    by_part = [{state["stream"]["stream_descriptor"]["name"]: state for state in part} for part in parts]
    merged = []
    for name in dict.fromkeys(name for part in by_part for name in part):
        states = [part.get(name, {}).get("stream", {}).get("stream_state") for part in by_part]
        if all(not state or "__ab_no_cursor_state_message" in state for state in states):
            continue
        if (found := merged_stream(states, into)) is None:
            print(f"{name} is read from its beginning: not every part has a cursor.", file=sys.stderr)
            continue
        stream = {"stream_descriptor": {"name": name}, "stream_state": found}
        merged.append({"type": "STREAM", "stream": stream})
    return merged


def merged_stream(states: list[State | None], into: int) -> State | None:
    """Return the state of a stream, None where it must be read from its beginning."""
    known = [state or {} for state in states]
    if any(state.get("use_global_cursor") for state in known):
        return merged_global(known, into)
    if any("states" in state for state in known):
        entries = [*of_spaces(known), *of_lists(known, into)]
        return {"use_global_cursor": False, "states": entries} if entries else None
    return oldest(known)  # one cursor for the whole stream


def merged_global(states: list[State], into: int) -> State | None:
    """Merge states that have one cursor for all partitions; below parents it is theirs that count."""
    above = [state.get("parent_state") or {} for state in states]
    names = dict.fromkeys(name for parents in above for name in parents)
    parents = {name: merged_stream([each.get(name) for each in above], into) for name in names}
    cursor = oldest([state.get("state") or {} for state in states])
    if None in parents.values() or (cursor is None and not parents):
        return None  # not the cursor alone: the CDK would use it for the parents
    found: State = {"use_global_cursor": True, "parent_state": parents}
    found["lookback_window"] = max(state.get("lookback_window") or 0 for state in states)
    return {**found, "state": cursor} if cursor else found


def oldest(cursors: list[State]) -> State | None:
    """Return the oldest of the cursors, None if one is missing."""
    if not all(cursors):
        return None
    return min(
        cursors, key=lambda cursor: [(len(str(it)) * str(it).isdigit(), str(it)) for it in cursor.values()]
    )


def of_spaces(states: list[State]) -> list[State]:
    """Return the cursors of each part for its own spaces, and those of part 1 for what only it reads."""
    found = []
    for number, state in enumerate(states):
        for entry in state.get("states") or []:
            partition = entry["partition"]
            own = [int("".join(re.findall("[0-9]", it))) % len(states) for it in partition.get("spaceId", [])]
            is_own = set(own) == {number} or ("once" in partition and number == 0)
            if is_own or ("anySpaceId" in partition and len(states) == 1):
                found.append(entry)
    return found


def of_lists(states: list[State], into: int) -> list[State]:
    """Return a cursor for each new part of a list that the parts share: the oldest of those that had its records."""
    cursors: dict[str, dict[int, State]] = {}
    for number, state in enumerate(states):
        for entry in state.get("states") or []:
            found = CHOSEN.fullmatch(entry["partition"].get("chosen", ""))
            if found and (int(found[2] or 1), int(found[3] or 1)) == (number + 1, len(states)):
                cursors.setdefault(found[1], {})[number] = entry["cursor"]
    entries = []
    for chosen, by_part in cursors.items():
        for new in range(into):
            shares = range(new % gcd(into, len(states)), len(states), gcd(into, len(states)))
            if cursor := oldest([by_part.get(number, {}) for number in shares]):
                name = f"{chosen} {new + 1}/{into}" if into > 1 else chosen
                entries.append({"partition": {"chosen": name}, "cursor": cursor})
    return entries


if __name__ == "__main__":
    main()
