"""Keys and limits of rate: what a key opens, how it is stored, and attacks on both by name."""

import hashlib
import logging
import os
import stat
from pathlib import Path

import pytest

from anybind.errors import UsageError
from anybind.server.keys import Key, Keys, RateLimiter, Role, TokenBucket, new_key


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_a_new_key_opens_what_its_role_says(path: Path) -> None:
    """The reference is the name and the role that each was made with."""
    user, admin = new_key(path, "ann"), new_key(path, "bob", Role.ADMIN)
    keys = Keys.load(path)
    assert len(keys) == 2
    assert keys.check(user) == Key(name="ann", role=Role.USER)
    assert keys.check(admin) == Key(name="bob", role=Role.ADMIN)


def test_the_file_has_a_salted_hash_and_never_the_key(path: Path) -> None:
    """The hash is SHA-256 of salt and key, computed here from the format in the module's text."""
    token = new_key(path, "ann")
    assert token.startswith("ab_") and len(token) == 46  # 256 bits, six a character
    name, role, stored = path.read_text().strip().split(":")
    method, salt, digest = stored.split("$")
    assert (name, role, method) == ("ann", "user", "sha256")
    assert hashlib.sha256(bytes.fromhex(salt) + token.encode()).hexdigest() == digest
    assert token not in path.read_text() and token[3:] not in path.read_text()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_only_the_owner_may_read_the_file(path: Path) -> None:
    """Its mode is 0600 when it is made, and again after a key is added to a file of another."""
    new_key(path, "ann")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    new_key(path, "bob")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    """Whoever may write it could add a key of their own."""
    new_key(path, "ann")
    path.chmod(0o666)
    with pytest.raises(UsageError, match="chmod 600"):
        Keys.load(path)


def test_guesses_prefixes_hashes_and_floods_open_nothing(path: Path) -> None:
    """Attacks: nothing, a part of the key, the stored hash itself, more than the key, megabytes."""
    token = new_key(path, "ann")
    keys = Keys.load(path)
    stored = path.read_text().strip().rpartition("$")[2]
    for wrong in ("", " ", "ab_", token[:-1], token + "A", token.upper(), stored, "ann"):
        assert keys.check(wrong) is None, wrong
    for wrong in (path.read_text(), "é" * 46, "\udc80" * 46, token + "\0", token * 100_000):
        assert keys.check(wrong) is None


def test_every_line_is_compared_whichever_matches(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timing attack on the order of the lines: the number of comparisons is counted."""
    tokens = [new_key(path, name) for name in ("ann", "bob", "cyd")]
    keys = Keys.load(path)
    compared: list[int] = []
    real = __import__("hmac").compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append(1)
        return bool(real(a, b))

    monkeypatch.setattr("anybind.server.keys.hmac.compare_digest", counting)
    for token in (*tokens, "ab_wrong"):
        compared.clear()
        keys.check(token)
        assert len(compared) == 3


def test_a_name_is_given_once_and_cannot_forge_a_line(path: Path) -> None:
    """Injection: a name with a line break or a colon would write a line or a role of its own."""
    new_key(path, "ann")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="already"):
        new_key(path, "ann", Role.ADMIN)
    for name in ("", "a\nroot", "a:admin", "../ann", "-x", "a b", "x" * 65, "é"):
        with pytest.raises(UsageError, match="cannot be called"):
            new_key(path, name)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [".keys.txt.lock", "keys.txt"]


def test_wrong_lines_are_named_by_their_number(path: Path) -> None:
    """Comments and empty lines count as lines."""
    new_key(path, "ann")
    good = path.read_text()
    for bad in ("ann", "bob:root:sha256$00$00", good.replace("user", "root").strip(), "bob:user:x"):
        path.write_text(f"# keys\n\n{good}{bad}\n")
        with pytest.raises(UsageError, match="keys.txt line 4 is no key"):
            Keys.load(path)
    path.write_text(f"{good}{good}")
    with pytest.raises(UsageError, match="line 2: ann is in line 1"):
        Keys.load(path)
    for content in (b"", b"# none\n"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="holds no key"):
            Keys.load(path)
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsageError, match="cannot be read"):
        Keys.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        Keys.load(path.parent / "missing.txt")


def test_comments_and_a_missing_last_line_break_survive_a_new_key(path: Path) -> None:
    """The reference is the file as an editor left it."""
    first = new_key(path, "ann")
    path.write_text("# the team\n" + path.read_text().strip())
    second = new_key(path, "bob")
    assert path.read_text().startswith("# the team\nann:user:")
    keys = Keys.load(path)
    assert keys.check(first) is not None and keys.check(second) is not None


def test_a_revoked_key_ends_and_a_new_one_works_without_a_restart(path: Path) -> None:
    """The file is replaced while the server runs."""
    first = new_key(path, "ann")
    keys = Keys.load(path)
    second = new_key(path, "bob")
    assert keys.check(second) is not None
    path.write_text("".join(line for line in path.open() if line.startswith("bob")))
    assert keys.check(first) is None
    assert keys.check(second) is not None


def test_a_broken_or_removed_file_locks_nobody_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The keys from before stay, once with a line in the log, which holds no key."""
    token = new_key(path, "ann")
    keys = Keys.load(path)
    with caplog.at_level(logging.ERROR):
        path.write_text("oops\n")
        assert keys.check(token) is not None and keys.check(token) is not None
        assert len(caplog.records) == 1
        path.unlink()
        assert keys.check(token) is not None
    assert len(caplog.records) == 2
    assert "line 1" in caplog.text and token not in caplog.text


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    """By hand: 3 at once, then one each half second; rests fill it to 3 again, never more."""
    clock = Clock()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now = 0.25
    assert bucket.take() == 0.25
    clock.now = 0.5
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    clock.now = 100.0
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    for rate, burst in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="nothing"):
            TokenBucket(rate=rate, burst=burst)


def test_one_greedy_key_leaves_the_others_alone() -> None:
    """A bucket each."""
    limiter = RateLimiter(1, 2, clock=Clock())
    assert [limiter.take("greedy") for _ in range(3)] == [0, 0, 1]
    assert limiter.take("other") == 0


def test_a_flood_of_names_takes_bounded_memory() -> None:
    """Of 20,000 names at most 50 are kept, and the one that keeps asking is not forgotten."""
    limiter = RateLimiter(1, 1, max_buckets=50, clock=Clock())
    assert limiter.take("busy") == 0
    for i in range(20_000):
        limiter.take(f"name-{i}")
        if i % 40 == 0:
            assert limiter.take("busy") == 1
    assert len(limiter) == 50
