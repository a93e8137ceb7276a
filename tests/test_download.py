"""Downloads against a server on the loopback that misbehaves as told.

The expected file is always the bytes the server was given; its sha256 comes from hashlib.
"""

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from anybind.encoders import cache, download
from anybind.encoders.download import PUBLISHED, PublishedFile, fetch, fetch_published
from anybind.errors import DownloadError, UsageError

BODY = np.random.default_rng(0).bytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()
OTHER = "0" * 64  # the sha256 of nothing we know


class Site(ThreadingHTTPServer):
    """Serves BODY at every path; the fields say how it fails."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, str | None]] = []  # (path, Range)
        self.body = BODY
        self.etag = '"one"'
        self.cut_after: list[int] = []  # bytes sent before hanging up, one entry an answer
        self.damage: list[bool] = []  # whether to flip a byte, one entry an answer
        self.statuses: list[int] = []  # errors, one entry an answer
        self.ranges = True  # whether Range is understood
        self.if_range = True  # whether If-Range is, too
        self.announces_length = True
        self.pause = 0.0  # seconds before an answer
        self.linked: dict[str, str] = {}  # sent with a 302 to /cdn/..., as the hub does


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = cast(Site, self.server)
        wanted = self.headers["Range"]
        site.requests.append((self.path, wanted))
        time.sleep(site.pause)
        if site.linked and not self.path.startswith("/cdn/"):
            self.send_response(302)
            for name, value in site.linked.items():
                self.send_header(name, value)
            self.send_header("Location", f"/cdn{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        body = site.body
        if site.damage and site.damage.pop(0):
            body = bytes([body[0] ^ 1]) + body[1:]
        start = 0
        same = self.headers["If-Range"] == site.etag or not site.if_range
        if site.ranges and wanted and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", site.etag)
        if site.announces_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + site.cut_after.pop(0) if site.cut_after else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("ANYBIND_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(download, "BACKOFF_SECONDS", (0.0, 0.0))
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(site: Site, sha256: str | None = None) -> Path:
    return fetch(f"{site.url}/w.pth", sha256=sha256, progress=False)


def test_a_file_arrives_in_the_cache_folder_and_nothing_is_left_beside_it_but_its_record(
    site: Site, tmp_path: Path
) -> None:
    """The bytes are the server's; the record holds their sha256."""
    path = get(site)
    assert path == tmp_path / "w.pth"
    assert path.read_bytes() == BODY
    record = json.loads((tmp_path / "w.pth.json").read_text())
    assert record == {"url": f"{site.url}/w.pth", "sha256": HASH}
    assert {p.name for p in tmp_path.iterdir()} <= {"w.pth", "w.pth.json", "w.pth.lock"}


def test_a_file_in_the_cache_is_not_asked_for_again(site: Site) -> None:
    """One request in all, as the server counts."""
    get(site)
    get(site)
    assert len(site.requests) == 1


def test_an_interrupted_download_continues_where_it_stopped(site: Site) -> None:
    """The server hangs up twice; the ranges asked for begin where it did."""
    site.cut_after = [100_000, 50_000]
    assert get(site).read_bytes() == BODY
    assert [wanted for _, wanted in site.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_run_continues_what_an_earlier_one_gave_up(site: Site, tmp_path: Path) -> None:
    """Three answers without progress end the first run; the second asks for the rest only."""
    site.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="closed after 100000 of 300000 bytes; run again"):
        get(site)
    assert not (tmp_path / "w.pth").exists()
    assert get(site).read_bytes() == BODY
    assert site.requests[-1][1] == "bytes=100000-"


def test_a_run_killed_before_the_last_rename_asks_for_nothing_more(
    site: Site, tmp_path: Path
) -> None:
    """The part is put as such a run leaves it."""
    (tmp_path / "w.pth.part").write_bytes(BODY)
    told = {"url": f"{site.url}/w.pth", "size": len(BODY), "sha256": None}
    (tmp_path / "w.pth.part.json").write_text(json.dumps({**told, "validator": site.etag}))
    assert get(site).read_bytes() == BODY
    assert site.requests == []


def test_a_server_that_ignores_ranges_makes_it_start_over(site: Site) -> None:
    """Appending the whole file to the part would give 400,000 bytes."""
    site.ranges = False
    site.cut_after = [100_000]
    assert get(site).read_bytes() == BODY


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_on_the_server_is_not_mixed_with_its_old_part(
    site: Site, if_range: bool
) -> None:
    """If-Range names the old ETag; a server that ignores it shows the new one with its range."""
    site.if_range = if_range
    site.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        get(site)
    site.body, site.etag = BODY[::-1], '"two"'
    assert get(site).read_bytes() == BODY[::-1]


def test_damage_on_the_way_is_noticed_and_the_file_fetched_again(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first answer has a byte flipped; the ETag of the second is its sha256."""
    site.etag, site.damage = f'"{HASH}"', [True]
    assert get(site).read_bytes() == BODY
    assert "arrived damaged; fetching it once more" in capsys.readouterr().err


@pytest.mark.parametrize("pinned", [False, True])
def test_damage_twice_is_an_error_and_leaves_no_file(
    site: Site, tmp_path: Path, pinned: bool
) -> None:
    """Both answers have a byte flipped; the hash is announced by the server, or known here."""
    if not pinned:
        site.etag = f'"{HASH}"'
    site.damage = [True, True]
    with pytest.raises(DownloadError, match=f"twice with a sha256 other than {HASH}"):
        get(site, sha256=HASH if pinned else None)
    assert {p.name for p in tmp_path.iterdir()} <= {"w.pth.lock"}


def test_the_hub_announces_its_hash_on_the_redirect(site: Site) -> None:
    """X-Linked-Etag is the sha256 of a large file; the answer behind the redirect has none."""
    site.linked = {"X-Linked-Etag": f'"{HASH}"', "X-Linked-Size": str(len(BODY))}
    site.damage = [True]
    site.cut_after = [1_000]
    assert get(site).read_bytes() == BODY
    assert [path for path, _ in site.requests] == ["/w.pth", "/cdn/w.pth"] * 3


def test_a_length_other_than_the_hub_announced_is_refused(site: Site) -> None:
    """The body is one byte shorter than X-Linked-Size."""
    site.linked = {"X-Linked-Size": str(len(BODY) + 1)}
    with pytest.raises(DownloadError, match=r"announces both .* bytes"):
        get(site)


def test_without_a_hash_the_length_counts_and_the_hash_is_recorded_aloud(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the sha256 that hashlib gives."""
    get(site)
    assert f"{HASH}, and no hash to compare it with; recorded at first use" in (
        capsys.readouterr().err
    )


def test_without_hash_and_length_nothing_is_accepted(site: Site) -> None:
    """A connection that closes early could not be told from the end of the file."""
    site.announces_length = False
    with pytest.raises(DownloadError, match="neither hash nor length"):
        get(site)
    assert get(site, sha256=HASH).read_bytes() == BODY


def test_a_file_changed_on_disk_is_set_aside_and_fetched_again(site: Site, tmp_path: Path) -> None:
    """One byte differs from what was recorded at first use."""
    path = get(site)
    path.write_bytes(b"x" + BODY[1:])
    assert get(site).read_bytes() == BODY
    assert (tmp_path / "w.pth.damaged").read_bytes() == b"x" + BODY[1:]


def test_a_replaced_publication_is_refused_before_it_is_downloaded(
    site: Site, tmp_path: Path
) -> None:
    """The server announces another hash than the one recorded at first use."""
    get(site).unlink()
    site.etag = f'"{OTHER}"'
    with pytest.raises(DownloadError, match=f"now has sha256 {OTHER}, expected {HASH}"):
        get(site)


def test_a_file_put_there_by_hand_is_taken_and_its_hash_recorded(
    site: Site, tmp_path: Path
) -> None:
    """No request is made; a pinned hash would still be compared."""
    (tmp_path / "w.pth").write_bytes(BODY)
    assert get(site) == tmp_path / "w.pth"
    assert json.loads((tmp_path / "w.pth.json").read_text())["sha256"] == HASH
    assert site.requests == []


def test_one_name_from_two_urls_is_refused(site: Site) -> None:
    """Both end in w.pth, and may differ."""
    get(site)
    with pytest.raises(DownloadError, match="was fetched from"):
        fetch(f"{site.url}/other/w.pth", progress=False)


def test_a_missing_file_is_an_error_at_once_that_says_where_to_put_it(
    site: Site, tmp_path: Path
) -> None:
    """404 will not get better by asking again."""
    site.statuses = [404]
    with pytest.raises(DownloadError) as caught:
        get(site)
    assert f"{site.url}/w.pth: the server answered 404 Not Found" in str(caught.value)
    assert str(tmp_path / "w.pth") in str(caught.value)
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again(site: Site) -> None:
    """503 twice, then the file."""
    site.statuses = [503, 503]
    assert get(site).read_bytes() == BODY


def test_no_connection_names_the_url_and_the_place_for_the_file(site: Site, tmp_path: Path) -> None:
    """Nobody listens on the port of a server that was closed."""
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    url = f"http://127.0.0.1:{closed.server_port}/w.pth"
    closed.server_close()
    with pytest.raises(DownloadError) as caught:
        fetch(url, progress=False)
    assert f"cannot fetch {url}: no connection" in str(caught.value)
    assert str(tmp_path / "w.pth") in str(caught.value)


def test_a_full_disk_is_noticed_before_the_download(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is said to have one byte less than the file."""
    usage = type("Usage", (), {"free": len(BODY) - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match="make room there"):
        get(site)


def test_a_cache_folder_that_cannot_be_made_is_one_clear_line(site: Site, tmp_path: Path) -> None:
    """Its parent is a file."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="name another folder with ANYBIND_CACHE"):
        fetch(f"{site.url}/w.pth", cache=tmp_path / "file" / "cache", progress=False)


def test_hub_urls_go_to_the_mirror_and_the_record_keeps_the_hub(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HF_ENDPOINT names the loopback server; the licence is printed once, before the download."""
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/")
    path = fetch_published("imagebind_w3D", progress=False)
    assert path.read_bytes() == BODY
    (requested, _) = site.requests[0]
    assert requested == PUBLISHED["imagebind_w3D"].url.removeprefix("https://huggingface.co")
    record = json.loads((tmp_path / "imagebind_w3D.pth.json").read_text())
    assert record["url"] == PUBLISHED["imagebind_w3D"].url
    assert capsys.readouterr().err.count(PUBLISHED["imagebind_w3D"].terms) == 1
    fetch_published("imagebind_w3D", progress=False)
    assert "CC BY-NC" not in capsys.readouterr().err


def test_the_bar_goes_to_stderr_and_starts_at_what_was_there(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """tqdm draws to stderr; results own stdout."""
    fetch(f"{site.url}/w.pth")
    out, err = capsys.readouterr()
    assert out == ""
    assert "w.pth: 100%" in err and "300k/300k" in err


def test_two_processes_share_one_download(site: Site, tmp_path: Path) -> None:
    """The second waits for the first and finds its file: one request in all."""
    site.pause = 0.5  # longer than the second process starts after the first
    code = f"from anybind.encoders.download import fetch; fetch('{site.url}/w.pth', progress=False)"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(site.requests) == 1
    assert (tmp_path / "w.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://example.org/w.pth", "http://example.org/"]
)
def test_only_the_web_is_fetched_from(url: str, tmp_path: Path) -> None:
    """Nothing is contacted; a URL without a file's name would have nowhere to go."""
    with pytest.raises(DownloadError, match="give an http"):
        fetch(url, cache=tmp_path)


def test_the_published_files_name_their_terms() -> None:
    """Both are under Meta's non-commercial licence, which the download prints."""
    assert all(isinstance(file, PublishedFile) for file in PUBLISHED.values())
    assert all("CC BY-NC" in file.terms for file in PUBLISHED.values())
    assert set(PUBLISHED) == {"imagebind_huge", "imagebind_w3D"}
    with pytest.raises(UsageError, match="there are imagebind_huge, imagebind_w3D"):
        fetch_published("imagebind_tiny")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ANYBIND_CACHE": "/a", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/anybind"),
        ({"HOME": "/h"}, "/h/.cache/anybind"),
    ],
)
def test_the_environment_sets_the_cache_folder(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the XDG base directory specification, after our own variable."""
    for name in ("ANYBIND_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_dir() == Path(expected)


@pytest.fixture
def counted_hashing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many files were hashed so far."""
    calls: list[object] = []
    plain = hashlib.file_digest

    def digest(*args: object) -> object:
        calls.append(args)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("hashlib.file_digest", digest)
    return lambda: len(calls)


def test_the_fingerprint_of_a_large_file_is_remembered_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted_hashing: Callable[[], int]
) -> None:
    """hashlib gives the expected digests; the second look at the same file hashes nothing."""
    monkeypatch.setenv("ANYBIND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "REMEMBERED_BYTES", 100)
    path = tmp_path / "w"
    path.write_bytes(BODY)
    assert cache.fingerprint(path) == cache.fingerprint(path) == f"sha256:{HASH}"
    assert counted_hashing() == 1
    path.write_bytes(BODY[:-1])
    assert cache.fingerprint(path) == f"sha256:{hashlib.sha256(BODY[:-1]).hexdigest()}"
    assert counted_hashing() == 2
