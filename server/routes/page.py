"""The web page: ``GET /`` and the files it is made of.

The files are read once, when the router is made, and only those are served: a path in a request is
looked up among their names and never opened. The page may talk to its own server and to no other,
which its content security policy makes browsers enforce.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from ..problems import Problem
from .common import holds

MEDIA_TYPES: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
START = "index.html"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob: http: https:",  # an index may name pictures elsewhere
        "media-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",  # ask each time, and be told 304: a page is never a version behind
}


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str  # of the content


def read_page() -> dict[str, PageFile]:
    """The files of the page by their path below its folder."""
    return dict(_read(resources.files(__name__.rsplit(".", 2)[0]) / "page", ""))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif (media_type := MEDIA_TYPES.get(entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            file = PageFile(content=content, media_type=media_type, etag=etag)
            found.append((prefix + entry.name, file))
    return found


FILES = read_page()
router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    """The page."""
    return _respond(request, START)


@router.get("/page/{name:path}")
def part(request: Request, name: str) -> Response:
    """A file that the page is made of."""
    return _respond(request, name)


def _respond(request: Request, name: str) -> Response:
    """A file, or that the browser has it already.

    Raises:
        Problem: There is no such file.
    """
    file = FILES.get(name)
    if file is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"the page has no file {name!r}", kind="not-found")
    headers = {**HEADERS, "ETag": file.etag}
    if holds(request, file.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
