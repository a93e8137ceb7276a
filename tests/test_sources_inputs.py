"""What a user's paths, folders, globs and braces stand for."""

from pathlib import Path

import pytest

from anybind.errors import UsageError
from anybind.index.sources import KINDS, open_source
from anybind.index.sources.base import clean, sample_of
from anybind.index.sources.inputs import expand_braces, find_files


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{00008..00011}.tar", ["00008.tar", "00009.tar", "00010.tar", "00011.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{a,b}/{1..2}", ["a/1", "a/2", "b/1", "b/2"]),
        ("{train,val{1..2}}", ["train", "val1", "train", "val2"]),
        ("plain {name}", ["plain {name}"]),
        ("{,x}y", ["y", "xy"]),
    ],
)
def test_braces_stand_for_what_a_shell_makes_of_them(text: str, names: list[str]) -> None:
    """bash's own results, but for nested braces, where bash does not repeat a name."""
    assert expand_braces(text) == names


def test_more_names_than_memory_holds_are_refused() -> None:
    """A slip of the finger may ask for a thousand million."""
    with pytest.raises(UsageError, match="more than 1,000,000"):
        expand_braces("{0..999999999}.tar")


def test_inputs_mix_and_keep_their_order(tmp_path: Path) -> None:
    """A folder gives its files sorted, hidden ones left out; each file counts once."""
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / ".hidden").mkdir()
    names = (
        "z.tar",
        "b/2.tar",
        "b/10.tar",
        "b/deep/1.TAR",
        "b/.x.tar",
        "b/.hidden/1.tar",
        "b/n.md",
    )
    for name in names:
        (tmp_path / name).write_bytes(b"1234")
    found = find_files(
        [f"{tmp_path}/z.tar", f"{tmp_path}/b", f"{tmp_path}/*.tar"], frozenset({"tar"}), what="tars"
    )
    assert found.root == str(tmp_path)
    assert found.files == {"z.tar": 4, "b/10.tar": 4, "b/2.tar": 4, "b/deep/1.TAR": 4}
    assert found.absolute("b/2.tar") == f"{tmp_path}/b/2.tar"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("00002.tar", r"there is no .*00002.tar; check"),
        ("{3..5}.tar", r"there is no .*3.tar \(and 2 more\)"),
        ("*.nothing", r"there is no .*\*.nothing"),
        ("", "no tars in"),
    ],
)
def test_inputs_that_are_not_there_are_refused(tmp_path: Path, name: str, message: str) -> None:
    """The first missing name is said."""
    with pytest.raises(UsageError, match=message):
        find_files([f"{tmp_path}/{name}"], frozenset({"tar"}), what="tars")


def test_urls_and_no_inputs_are_refused() -> None:
    """Both are said before anything is opened."""
    with pytest.raises(UsageError, match="download it"):
        find_files(["https://example.org/0.tar"], frozenset({"tar"}), what="tars")
    with pytest.raises(UsageError, match="--input"):
        find_files([], frozenset({"tar"}), what="tars")


def test_unknown_sources_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message lists every kind."""
    with pytest.raises(UsageError, match=", ".join(KINDS)):
        open_source("laion", [], out=tmp_path, limit=None)


def test_texts_beside_a_picture_become_caption_url_and_fields() -> None:
    """The text counts before the JSON's caption; NaN, which JSON lacks, becomes null."""
    fields = b'{"caption": "of the json", "url": "http://x/y.jpg", "width": 3, "score": NaN}'

    def sample(caption: bytes | None, fields: bytes | None) -> tuple[object, ...]:
        made = sample_of(key="k", path="p", media=b"", caption=caption, fields=fields)
        return made.caption, made.url, made.extra, made.problem

    rest = '{"caption": "of the json", "width": 3, "score": null}'
    assert sample(b"\xef\xbb\xbf the text \n", fields) == ("the text", "http://x/y.jpg", rest, "")
    assert sample(None, fields)[0] == "of the json"
    assert sample(b" ", None) == (None, None, None, "")
    assert sample(b"caf\xe9", None)[0] == "caf\ufffd"
    assert sample(None, b"{")[3] == "the .json beside it is not JSON"
    assert sample(None, b"[1]")[3] == "the .json beside it is not a JSON object"
    assert sample(b"x" * (1 << 21), None)[3] == "the text beside it has more than 1,048,576 bytes"
    assert sample(None, b'{"caption": "\\ud800!"}')[0] == "\ufffd" * 3 + "!"


def test_names_that_utf_8_cannot_hold_are_made_to_fit() -> None:
    """A byte of an odd file name, as Python hands it over."""
    clean("a\udcffb").encode()
    assert clean("schön") == "schön"
