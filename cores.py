"""How much of the machine this process may use."""

import os


def available_cores() -> int:
    """How many cores this process may use: as many as it is bound to, or all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
