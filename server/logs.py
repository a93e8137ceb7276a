"""Log lines with the number of the request they belong to: for people, or as JSON for programs."""

import json
import logging
import random
import sys
import time
from contextvars import ContextVar

request_id_of: ContextVar[str] = ContextVar("request_id_of", default="-")  # of this task or thread
EXTRA = ("method", "path", "status", "ms", "key", "n")  # fields of the access log


def new_number() -> str:
    """A number for a request, 16 hex digits. It tells requests apart and guards nothing, so it does
    not ask the system for randomness, which takes a percent of a search."""
    return f"{random.getrandbits(64):016x}"


class _Number(logging.Filter):
    """Gives each line the number of its request."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id_of.get()
        return True


class _People(logging.Formatter):
    """One line: time, level, request, and what happened."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(request_id)s %(name)s: %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={v}" for k, v in _facts(record).items())
        return f"{super().format(record)} {facts}".rstrip()


class _Programs(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": record.__dict__.get("request_id", "-"),
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(*, as_json: bool, level: int = logging.INFO) -> None:
    """Send the log to stderr; uvicorn's own lines go the same way, and its access log is off."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Programs() if as_json else _People())
    handler.addFilter(_Number())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("anybind", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("anybind.pipeline").setLevel(max(level, logging.WARNING))  # one a query


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: record.__dict__[name] for name in EXTRA if name in record.__dict__}
