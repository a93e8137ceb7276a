"""Errors over HTTP, as problem details (RFC 9457) that carry the library's own message.

An error of the library says what was asked, what there is and what to do, so a client gets that
very line. What is not the library's is logged with its traceback and shown as a number to quote.
Routes that speak another server's language say it in that server's shape, for its clients.
"""

import json
import logging
import math
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import (
    AnyBindError,
    IndexFolderError,
    MediaError,
    Overloaded,
    UsageError,
    WeightsError,
)

logger = logging.getLogger(__name__)


class Dialect(StrEnum):
    """The shape in which errors are told."""

    PROBLEM = "problem"  # RFC 9457
    OPENAI = "openai"  # {"error": {"message", "type", "param", "code"}}
    CLIP_RETRIEVAL = "clip-retrieval"  # {"message"}


DIALECTS: Mapping[str, Dialect] = {  # by how a path begins; all others tell problems
    "/v1/embeddings": Dialect.OPENAI,
    "/v1/chat/": Dialect.OPENAI,
    "/v1/models": Dialect.OPENAI,
    "/knn-service": Dialect.CLIP_RETRIEVAL,
    "/indices-list": Dialect.CLIP_RETRIEVAL,
    "/metadata": Dialect.CLIP_RETRIEVAL,
}
SHOWN_ERRORS = 5  # of a body, in a message
MOST_ERRORS = 100  # of which more are only counted
OPENAI_CODES = {"key": "invalid_api_key", "overloaded": "rate_limit_exceeded"}  # by kind


class ProblemModel(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(
        description="about:blank, and behind # the kind of error, for programs",
        examples=["about:blank#usage"],
    )
    title: str = Field(description="the status in words")
    status: int = Field(description="as in the response's first line")
    detail: str = Field(description="what was asked, what there is, what to do")
    instance: str = Field(description="the route")
    request_id: str = Field(description="in the server's log")


class Problem(AnyBindError):
    """An error with the status it has over HTTP."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        kind: str,
        headers: Mapping[str, str] | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind  # the last part of the problem's type, for programs
        self.field = field  # of the body that is wrong, where it is one; OpenAI's clients ask
        self.headers = dict(headers or {})


class ClientLeft(Problem):
    """Nobody waits for the answer any more, so this one is not read."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_TIMEOUT, "the client left", kind="client-left")


def problem_of(error: Exception) -> Problem:
    """Any error as a problem; one that nobody foresaw is logged and not shown."""
    match error:
        case Problem():
            return error
        case Overloaded():
            wait = {"Retry-After": str(math.ceil(error.retry_after))}
            return Problem(
                HTTPStatus.TOO_MANY_REQUESTS, str(error), kind="overloaded", headers=wait
            )
        case MediaError():
            return Problem(HTTPStatus.BAD_REQUEST, str(error), kind="media")
        case UsageError():
            return Problem(HTTPStatus.BAD_REQUEST, str(error), kind="usage")
        case IndexFolderError():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), kind="index")
        case WeightsError():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), kind="weights")
        case RequestValidationError() | ValidationError():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, in_a_line(error), kind="schema")
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return Problem(
                status, str(error.detail), kind=_kind(status), headers=error.headers or {}
            )
    logger.error("failed", exc_info=error)
    detail = (
        "the server failed; its log says why under this request id"
        if not isinstance(error, AnyBindError)
        else str(error)
    )
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, kind="internal")


def in_a_line(error: RequestValidationError | ValidationError) -> str:
    """What is wrong with a body, each field with its place in it."""
    n = error.error_count() if isinstance(error, ValidationError) else len(error.errors())
    if n > MOST_ERRORS:  # which would take long to list
        return f"{n} fields are missing, unknown or wrong"
    said: list[str] = []
    for found in error.errors()[:SHOWN_ERRORS]:
        place = ".".join(str(step) for step in found["loc"]) or "body"
        said.append(f"{place}: {found['msg']}")
    return "; ".join(said)


def route_path(scope: Mapping[str, Any]) -> str:
    """The path by which routes are found: without the prefix that a proxy put in front of it."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :]
    return path


def dialect_of(path: str) -> Dialect:
    """How errors of a route are told."""
    return next((d for start, d in DIALECTS.items() if path.startswith(start)), Dialect.PROBLEM)


def media_type_of(path: str) -> str:
    """Of the errors of a route."""
    problem = dialect_of(path) is Dialect.PROBLEM
    return "application/problem+json" if problem else "application/json"


def as_json(problem: Problem, *, instance: str, request_id: str) -> bytes:
    """The body of a problem, in the shape of the route ``instance``."""
    content: dict[str, object]
    match dialect_of(instance):
        case Dialect.OPENAI:
            content = {"error": _openai_error(problem)}
        case Dialect.CLIP_RETRIEVAL:
            content = {"message": str(problem)}
        case Dialect.PROBLEM:
            content = {
                "type": f"about:blank#{problem.kind}",
                "title": problem.status.phrase,
                "status": int(problem.status),
                "detail": str(problem),
                "instance": instance,
                "request_id": request_id,
            }
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")  # half a surrogate


def respond(request: Request, error: Exception) -> Response:
    """An error as the response to a request."""
    problem, path = problem_of(error), route_path(request.scope)
    return Response(
        as_json(problem, instance=path, request_id=str(request.scope.get("request_id", ""))),
        status_code=problem.status,
        headers=problem.headers,
        media_type=media_type_of(path),
    )


def install(app: FastAPI) -> None:
    """Answer the errors of an app with problems; those that nobody foresaw reach the edge."""

    async def handler(request: Request, error: Exception) -> Response:
        return respond(request, error)

    for kind in (AnyBindError, RequestValidationError, ValidationError, HTTPException):
        app.add_exception_handler(kind, handler)


def _kind(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "-")


def _openai_error(problem: Problem) -> dict[str, object]:
    """As https://platform.openai.com/docs/guides/error-codes has it."""
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    return {
        "message": str(problem),
        "type": kind,
        "param": problem.field,
        "code": OPENAI_CODES.get(problem.kind, problem.kind.replace("-", "_")),
    }
