"""The pool that renders: its processes end with the one they work for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, time
from anybind.world.workers import map_in_order

def worker(item):
    time.sleep(0.2)  # long enough for both to get one
    return os.getpid()

if __name__ == "__main__":
    print(*set(map_in_order(worker, range(8), 2)), flush=True)
    time.sleep(60)
"""
SECONDS = 20.0  # until a process is gone


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_workers_of_a_process_that_is_killed_end_too(tmp_path: Path) -> None:
    """Nothing tells them: SIGKILL leaves the parent no time to."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers and all(map(_runs, workers))
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + SECONDS
    while any(map(_runs, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(_runs, workers))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
