"""Fetching published weight files: resumable, checked, and one process at a time.

A file arrives under ``NAME.part`` in the cache folder and gets its name once it is what was
announced: the pinned sha256 where one is known, else the one the server announces, else the
announced length. What was found is written to ``NAME.json``, and the file is held to it ever after.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from ..errors import DownloadError, UsageError
from ..files import write_atomically
from .cache import cache_dir, fingerprint, remember_fingerprint

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 60.0  # without a byte, before a connection counts as lost
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0)  # between attempts that brought nothing new
CHUNK_BYTES = 2**20
SHA256 = re.compile(r"[0-9a-f]{64}")
LOST = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
NON_COMMERCIAL = (
    "The weights of ImageBind, by Meta, are not for commercial use: their LICENSE is CC BY-NC-SA "
    "4.0, their README says CC BY-NC 4.0; see https://github.com/facebookresearch/ImageBind"
)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A weight file that others publish."""

    url: str
    terms: str  # printed before the download
    sha256: str | None = None  # 64 hex digits, where its publisher or this project knows them


PUBLISHED: dict[str, PublishedFile] = {
    "imagebind_huge": PublishedFile(
        url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth", terms=NON_COMMERCIAL
    ),
    "imagebind_w3D": PublishedFile(
        url=f"{HUB}/ZiyuG/ImageBind_w3D/resolve/e9206a10f118b0790c730264e7b3aa5c324c35cb/"
        "imagebind_w3D.pth",
        terms=NON_COMMERCIAL,
    ),
}


def fetch_published(name: str, *, cache: Path | None = None, progress: bool = True) -> Path:
    """The local path of a file in :data:`PUBLISHED`, downloaded if it is not there yet.

    Raises:
        UsageError: No published file has this name.
        DownloadError: As :func:`fetch`.
    """
    file = PUBLISHED.get(name)
    if file is None:
        raise UsageError(f"no published file is called {name!r}; there are {', '.join(PUBLISHED)}")
    return fetch(file.url, cache=cache, sha256=file.sha256, terms=file.terms, progress=progress)


def fetch(
    url: str,
    *,
    cache: Path | None = None,
    sha256: str | None = None,
    terms: str | None = None,
    progress: bool = True,
) -> Path:
    """The local path of a file, downloaded if it is not there yet.

    Args:
        url: ``http(s)``. For one on the Hugging Face hub, ``$HF_ENDPOINT`` may name a mirror.
        cache: The folder it lies in; by default :func:`.files.cache_dir`.
        sha256: The 64 hex digits its contents must have, where they are known.
        terms: A licence to print before a download.
        progress: Show a bar on stderr.

    Raises:
        DownloadError: It cannot be reached, written, or is not what was announced (twice).
    """
    folder = cache_dir() if cache is None else cache
    target = folder / unquote(urlsplit(url).path).rpartition("/")[2]
    if not url.startswith(("https://", "http://")) or target == folder:
        raise DownloadError(f"cannot fetch {url}: give an http(s) URL that ends in a file's name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            return _fetch_locked(url, target, sha256, terms, progress)
    except OSError as error:
        raise DownloadError(
            f"cannot write {target}: {error.strerror or error}; make room there, or name another "
            "folder with ANYBIND_CACHE"
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What a file was when it was first used; kept beside it as JSON."""

    url: str
    sha256: str  # 64 hex digits


@dataclass(frozen=True, kw_only=True)
class _Announced:
    """What the server said about a file; kept beside a partial download to resume it."""

    url: str
    size: int | None  # bytes
    sha256: str | None  # 64 hex digits
    validator: str | None  # for If-Range: a strong ETag or a date


class _Interrupted(Exception):
    """An attempt failed in a way that another may not."""


def _fetch_locked(
    url: str, target: Path, sha256: str | None, terms: str | None, progress: bool
) -> Path:
    """As :func:`fetch`, while no other process does the same."""
    record = _read_record(target)
    if record is not None and record.url != url:
        raise DownloadError(
            f"{target} was fetched from {record.url}, not from {url}; "
            "remove it, or name another folder with ANYBIND_CACHE"
        )
    known = sha256 or (record.sha256 if record else None)
    if target.exists():
        found = fingerprint(target).removeprefix("sha256:")
        if known in (None, found):
            if record is None:
                _say(f"{target} was put there by hand; recorded its sha256 {found} at first use")
                _write_record(target, url, found)
            return target
        damaged = _beside(target, ".damaged")
        os.replace(target, damaged)
        _say(f"{target} has sha256 {found}, expected {known}; renamed to {damaged.name}")
    if terms:
        _say(terms)
    part = _beside(target, ".part")
    found, announced = _download(url, part, known, progress)
    if (known or announced.sha256) not in (None, found):
        _say(f"{url} arrived damaged; fetching it once more")
        _discard(part)
        found, announced = _download(url, part, known, progress)
        if (known or announced.sha256) not in (None, found):
            _discard(part)
            raise DownloadError(
                f"{url} arrived twice with a sha256 other than {known or announced.sha256} (the "
                f"second was {found}); try later, or put the file at {target} by hand"
            )
    if known is None:
        source = "as the server announced" if announced.sha256 else "and no hash to compare it with"
        _say(f"{target.name} has sha256 {found}, {source}; recorded at first use")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    _discard(part)
    _write_record(target, url, found)
    remember_fingerprint(target, f"sha256:{found}")
    return target


def _download(url: str, part: Path, known: str | None, progress: bool) -> tuple[str, _Announced]:
    """Receive a file into ``part``, from where an earlier attempt stopped.

    Returns:
        The sha256 of what arrived, and what the server announced.
    """
    best, failures = 0, 0
    while True:
        try:
            return _receive(url, part, known, progress)
        except _Interrupted as error:
            arrived = part.stat().st_size if part.exists() else 0
            failures = 0 if arrived > best else failures + 1
            best = max(best, arrived)
            if failures > len(BACKOFF_SECONDS):
                raise DownloadError(
                    f"cannot fetch {url}: {error}; run again to resume, or put the file at "
                    f"{part.with_suffix('')} by hand"
                ) from error
            wait = BACKOFF_SECONDS[max(failures, 1) - 1]
            _say(f"{part.stem}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _receive(url: str, part: Path, known: str | None, progress: bool) -> tuple[str, _Announced]:
    """One attempt of :func:`_download`."""
    earlier = _read_announced(part, url)
    offset = part.stat().st_size if earlier is not None and part.exists() else 0
    if earlier is not None and offset == earlier.size:
        return _sha256(part).hexdigest(), earlier  # stopped between the last byte and the rename
    headers = {"User-Agent": "anybind", "Accept-Encoding": "identity"}
    if offset and earlier is not None and earlier.validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": earlier.validator}
    with _answer(url, headers, part) as (response, linked):
        if response.status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
            announced = _announced(url, response.headers, linked, span[2] if span else None)
            if span is None or int(span[1]) != offset or announced != earlier:
                _discard(part)
                raise _Interrupted("the server answered with a range of something else")
        else:  # the file changed, or the server knows no ranges: from the start
            offset = 0
            _discard(part)
            total = response.headers["Content-Length"]
            announced = _announced(url, response.headers, linked, total)
        _check_announced(announced, known, part)
        _check_room(part, (announced.size or 0) - offset)
        _beside(part, ".json").write_text(json.dumps(asdict(announced)) + "\n")
        digest = _sha256(part) if offset else hashlib.sha256()
        with (
            part.open("ab" if offset else "wb") as file,
            tqdm(
                desc=part.stem,
                total=announced.size,
                initial=offset,
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            for chunk in _chunks(response):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
            arrived = file.tell()
    if announced.size not in (None, arrived):
        raise _Interrupted(f"the connection closed after {arrived} of {announced.size} bytes")
    return digest.hexdigest(), announced


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and keeps what the hub says of the file on the first answer."""

    def __init__(self) -> None:
        self.linked = Message()

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        for name in ("X-Linked-Etag", "X-Linked-Size"):
            if name in headers and name not in self.linked:
                self.linked[name] = headers[name]
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _answer(
    url: str, headers: dict[str, str], part: Path
) -> Iterator[tuple[http.client.HTTPResponse, Message]]:
    """The server's answer to a GET, and the X-Linked headers of the redirects that led to it."""
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
    request = urllib.request.Request(_mirrored(url), headers=headers)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        answer = f"the server answered {error.code} {error.reason}"
        if error.code == 416:  # the part is longer than the file
            _discard(part)
        elif error.code not in (408, 429) and error.code < 500:
            raise DownloadError(
                f"cannot fetch {url}: {answer}; put the file at {part.with_suffix('')} by hand"
            ) from None
        raise _Interrupted(answer) from None
    except (urllib.error.URLError, *LOST) as error:
        raise _Interrupted(f"no connection ({getattr(error, 'reason', error)})") from None
    with response:
        yield response, redirects.linked


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body of an answer, as far as it comes."""
    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except LOST as error:
            raise _Interrupted(f"the connection was lost ({error})") from None
        if not chunk:
            return
        yield chunk


def _announced(url: str, headers: Message, linked: Message, total: str | None) -> _Announced:
    """What an answer says about the whole file, of ``total`` bytes."""
    sizes = {int(size) for size in (total, linked["X-Linked-Size"]) if size is not None}
    if len(sizes) > 1:
        raise _Interrupted(f"the server announces both {' and '.join(map(str, sizes))} bytes")
    hashes = (str(etag).strip('"') for etag in (linked["X-Linked-Etag"], headers["ETag"]))
    etag = headers["ETag"]
    return _Announced(
        url=url,
        size=next(iter(sizes), None),
        sha256=next((found for found in hashes if SHA256.fullmatch(found)), None),
        validator=etag if etag and not etag.startswith("W/") else headers["Last-Modified"],
    )


def _check_announced(announced: _Announced, known: str | None, part: Path) -> None:
    """Refuse before the body what could not be accepted after it."""
    if known and announced.sha256 not in (None, known):
        raise DownloadError(
            f"{announced.url} now has sha256 {announced.sha256}, expected {known}; put the "
            f"expected file at {part.with_suffix('')} by hand, or remove {part.stem}.json beside "
            "it if you trust the new one"
        )
    if known is None and announced.sha256 is None and announced.size is None:
        raise DownloadError(
            f"cannot fetch {announced.url}: the server announces neither hash nor length, so that "
            "a part cannot be told from the whole; "
            f"fetch it by other means and put it at {part.with_suffix('')}"
        )


def _check_room(part: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if n_bytes > free:
        raise DownloadError(
            f"{part.stem} needs {n_bytes / 1e9:.1f} GB more and {part.parent} has "
            f"{free / 1e9:.1f} GB free; make room there, or name another folder with ANYBIND_CACHE"
        )


def _mirrored(url: str) -> str:
    """A hub URL at the mirror that ``$HF_ENDPOINT`` names, or the URL as it is."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if endpoint and url.startswith(f"{HUB}/"):
        return endpoint + url.removeprefix(HUB)
    return url


# ------------------------------------------------------------------------------ files beside


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _discard(part: Path) -> None:
    """Forget a partial download."""
    part.unlink(missing_ok=True)
    _beside(part, ".json").unlink(missing_ok=True)


def _read_record(target: Path) -> _Record | None:
    try:
        return _Record(**json.loads(_beside(target, ".json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # never fetched, or not a record


def _write_record(target: Path, url: str, sha256: str) -> None:
    record = json.dumps(asdict(_Record(url=url, sha256=sha256)), indent=1) + "\n"
    write_atomically(_beside(target, ".json"), record.encode())


def _read_announced(part: Path, url: str) -> _Announced | None:
    """What was announced for this part, if it is a part of this file."""
    try:
        announced = _Announced(**json.loads(_beside(part, ".json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return announced if announced.url == url else None


def _sha256(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the right to fetch a file; another process that has it is waited for."""
    lock = FileLock(_beside(target, ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"{target.name}: waiting for another process that is fetching it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _say(line: str) -> None:
    """Progress goes to stderr: results own stdout."""
    print(line, file=sys.stderr)
