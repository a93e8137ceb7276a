"""What a decoder may do when a file takes hold of it. Imported by workers, under this plain name.

:func:`act` stands in for a preprocessor; the content of the file names what happens.
"""

import json
import os
import pickle
import resource
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from anybind.encoders.preprocess import Prepared
from anybind.errors import MediaError


class Payload:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)


def act(item: object) -> Prepared:
    """Do what the content says; its second line is an argument."""
    assert isinstance(item, bytes)
    word, _, argument = item.partition(b"\n")
    return ACTIONS[word.decode()](argument.decode("latin-1"))


def crash(argument: str) -> Prepared:
    """As a bad pointer does."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)
    return np.zeros(1)


def abort(argument: str) -> Prepared:
    """As an uncaught exception of C++ does."""
    os.abort()


def leave(argument: str) -> Prepared:
    """As a library that calls exit."""
    os._exit(0)


def stall(argument: str) -> Prepared:
    """Deep in C, where no signal handler of Python runs."""
    return np.array([len(str(pow(3, 10**9)))])


def hog(argument: str) -> Prepared:
    """Take memory, and use it."""
    return np.ones(8 * 2**30, np.uint8)


def creep(argument: str) -> Prepared:
    """Take memory in small pieces, which no single allocation tells."""
    return np.array([len([bytes(2**20) for _ in range(8 * 2**10)])])


def burst(argument: str) -> Prepared:
    """Return more than a result may have."""
    return np.zeros(100 * 2**20, np.uint8)


def fail(argument: str) -> Prepared:
    """Raise what is no error of a file."""
    raise RuntimeError("a mistake\nof ours")


def refuse(argument: str) -> Prepared:
    """Refuse, at great length."""
    raise MediaError("no " * 10**6)


def shout(argument: str) -> Prepared:
    """Refuse with what a terminal obeys and a log takes for a line of its own."""
    raise MediaError("no\x1b[2J\r\nINFO all is well\u202e\0")


def take_over(argument: str) -> Prepared:
    """Answer the server with a pickle, on every wire there is."""
    return answer(pickle.dumps(Payload(argument)))


def forge(argument: str) -> Prepared:
    """Answer the server with given bytes, and nothing after them."""
    return answer(argument.encode("latin-1"), b"\0" * 8)


def answer(*payloads: bytes) -> Prepared:
    """Write to the server behind the back of the worker."""
    sent = b"".join(struct.pack("!i", len(payload)) + payload for payload in payloads)
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, sent)
        except OSError:
            continue
    return np.zeros(1)


def write(argument: str) -> Prepared:
    """Write a file."""
    Path(argument).write_bytes(b"x" * 10_000)
    return np.zeros(1)


def tell(argument: str) -> Prepared:
    """What a worker has: environment and limits, as JSON."""
    facts = {
        "environment": dict(os.environ),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "torch": "torch" in sys.modules,
        "pid": os.getpid(),
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    }
    return np.frombuffer(json.dumps(facts).encode(), np.uint8)


def rest(argument: str) -> Prepared:
    """Take a while; a file tells when it began."""
    time.sleep(float(argument))
    return np.array([os.getpid()])


ACTIONS: dict[str, Callable[[str], Prepared]] = {
    action.__name__: action
    for action in (
        *(crash, abort, leave, stall, hog, creep, burst),
        *(fail, refuse, shout, take_over, forge, write, tell, rest),
    )
}
