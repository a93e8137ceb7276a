"""How long a start of the server takes: until it answers, searches, and answers questions.

``anybind serve`` is started over and over, as people start it; seconds count from there. ``search``
is when the first search by text was answered, which is asked again until it is. The files are warm:
one start goes before those that count.

    python scripts/bench_start.py
    python scripts/bench_start.py --items 100000 --starts 10 --json build/start.json
"""

import argparse
import json
import statistics
import time
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from served import (
    HOST,
    NOT_READY,
    START_SECONDS,
    check_parts,
    free_port,
    index_of,
    machine,
    readiness,
    started,
)

SEARCH = json.dumps({"inputs": [{"text": "a red train on snow"}]}).encode()
POLL_SECONDS = 0.02
TARGETS = {"healthz": 2.0, "search": 4.0, "language model": 8.0}  # seconds, with warm files


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=Path("build/bench_server"))
    add("--items", type=int, default=5000)
    add("--starts", type=int, default=5)
    add("--json", type=Path, metavar="OUT", help="write the figures there too")
    args = parser.parse_args()
    index, where = index_of(args.folder, args.items), machine()
    start_times(index)  # so that the files are warm
    found = [start_times(index) for _ in range(args.starts)]
    date = datetime.now(UTC).date().isoformat()
    print(f"{args.items:,} items, {args.starts} starts\n")
    print("\n".join(rows(found)))
    print(f"\n{where}, {date}")
    if args.json is not None:
        facts = {"items": args.items, "machine": where, "date": date, "starts": found}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


def start_times(index: Path) -> dict[str, float]:
    """Seconds from the start of a server until each thing is there, in the order they came.

    Raises:
        SystemExit: The server ended, takes too long, or a part of it failed.
    """
    port, times = free_port(), dict[str, float]()
    with started(index, port) as process:
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < START_SECONDS and process.poll() is None:
            parts = readiness(port)
            if parts and "healthz" not in times:
                times["healthz"] = seconds
            check_parts(parts)
            for part, state in parts.items():
                if state == "ready":
                    times.setdefault("index" if part.startswith("index ") else part, seconds)
            if "index" in times and "search" not in times and searches(port):
                times["search"] = time.monotonic() - began
            if "search" in times and "loading" not in parts.values():
                return times
            time.sleep(POLL_SECONDS)
    raise SystemExit(NOT_READY)


def searches(port: int) -> bool:
    """Whether a search is answered."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/v1/search", SEARCH, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as response:
            return bool(json.load(response)["results"])
    except OSError:
        return False


def rows(found: Sequence[Mapping[str, float]]) -> list[str]:
    """A table of medians, in their order."""
    names = {name: [each[name] for each in found] for name in found[0]}
    lines = ["| until | median s | least | most | wanted |", "| --- | --- | --- | --- | --- |"]
    for name, seconds in sorted(names.items(), key=lambda item: statistics.median(item[1])):
        figures = (statistics.median(seconds), min(seconds), max(seconds))
        shown = " | ".join(f"{figure:.2f}" for figure in figures)
        wanted = f"< {TARGETS[name]:g}" if name in TARGETS else ""
        lines.append(f"| {name} | {shown} | {wanted} |")
    return lines


if __name__ == "__main__":
    main()
