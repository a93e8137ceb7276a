"""Tar files as a source: grouping, order, passing over, and archives that break off."""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from anybind.encoders.modality import Modality
from anybind.errors import UsageError
from anybind.index.sources.base import Place, Sample
from anybind.index.sources.webdataset import WebDataset, open_webdataset


def tar(path: Path, members: Sequence[tuple[str, bytes]], *, kind: int = tarfile.PAX_FORMAT) -> str:
    """A tar file with these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def content(sample: Sample) -> bytes:
    """The picture of a sample, read from its place."""
    assert isinstance(sample.media, Place)
    with open(sample.media.file, "rb") as file:
        file.seek(sample.media.offset)
        return file.read(sample.media.size or 0)


def told(source: WebDataset, start: int = 0) -> list[tuple[str, str | None, str]]:
    return [(s.key, s.caption, s.problem) for s in source.samples(start)]


def test_members_that_follow_one_another_are_a_sample(tmp_path: Path) -> None:
    """Webdataset's rule: the key ends at the first dot of the file name."""
    path = tar(
        tmp_path / "my shards" / "00000.tar",
        [
            ("a/1.5.jpg", b"no: its key is a/1"),
            ("a/000 ü.json", b'{"url": "http://x"}'),
            ("a/000 ü.txt", b"first"),
            ("a/000 ü.seg.png", b"mask"),
            ("a/000 ü.JPG", b"picture 0"),
            ("b/000 ü.jpg", b"picture 1"),
            ("b/000 ü.jpg", b"picture 2"),
            ("b/000 ü.txt", b"third"),
            ("b/._000 ü.jpg", b"what a Mac leaves"),
            ("only.txt", b"no picture"),
        ],
    )
    samples = list(open_webdataset([path], Modality.IMAGE).samples())
    assert [(s.key, s.caption) for s in samples] == [
        ("a/1", None),
        ("a/000 ü", "first"),
        ("b/000 ü", None),
        ("b/000 ü", "third"),
        ("only", None),
    ]
    assert [content(s) for s in samples[1:4]] == [b"picture 0", b"picture 1", b"picture 2"]
    assert samples[1].path == "00000.tar#a/000 ü.JPG"
    assert samples[1].url == "http://x"
    assert samples[4].problem == "no picture among .txt"


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar_header_is_understood(tmp_path: Path, kind: int) -> None:
    """Names longer than the 100 bytes of a plain header are kept in three different ways."""
    folder = "/".join(["long" * 10] * 3)
    path = tar(tmp_path / "0.tar", [(f"{folder}/1.jpg", b"x" * 700), ("2.jpg", b"y")], kind=kind)
    samples = list(open_webdataset([path], Modality.IMAGE).samples())
    assert [s.key for s in samples] == [f"{folder}/1", "2"]
    assert [content(s) for s in samples] == [b"x" * 700, b"y"]


def test_samples_before_the_start_are_passed_over(tmp_path: Path) -> None:
    """Every start gives the tail of the whole list, across files and problems."""
    for number in range(3):
        tar(
            tmp_path / f"{number}.tar",
            [m for i in range(4) for m in ((f"{number}{i}.jpg", b"j"), (f"{number}{i}.txt", b"t"))],
        )
    (tmp_path / "1.tar").write_bytes((tmp_path / "1.tar").read_bytes()[: 5 * 1024 + 100])
    source = open_webdataset([str(tmp_path)], Modality.IMAGE)
    whole = told(source)
    assert len(whole) == 4 + 4 + 4
    assert [problem for *_, problem in whole if problem] == ["the archive breaks off at byte 5120"]
    for start in range(14):
        assert told(source, start) == whole[start:]


@pytest.mark.parametrize(
    ("keep", "keys", "problem"),
    [
        (0, [], "the archive is empty (0 bytes)"),
        (100, [], "it is not a tar archive"),
        (512, [], "the archive ends inside 0.jpg, at byte 512"),
        (1536, ["0"], "the archive ends inside 1.jpg, at byte 1536"),
        (2048, ["0", "1"], "the archive breaks off at byte 2048"),
    ],
)
def test_a_cut_archive_gives_what_came_before_and_says_where(
    tmp_path: Path, keep: int, keys: list[str], problem: str
) -> None:
    """Each member takes a header and one block of 512 bytes; the archive is cut at ``keep``."""
    path = tmp_path / "0.tar"
    tar(path, [(f"{i}.jpg", b"x") for i in range(4)])
    path.write_bytes(path.read_bytes()[:keep])
    *good, bad = told(open_webdataset([str(path)], Modality.IMAGE))
    assert [key for key, *_ in good] == keys
    assert bad == ("0.tar", None, problem)


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    """Noise in the second header; Python's tarfile would take it for the end of the archive."""
    path = tmp_path / "0.tar"
    tar(path, [(f"{i}.jpg", b"x") for i in range(4)])
    noisy = bytearray(path.read_bytes())
    noisy[1024 : 1024 + 512] = os.urandom(512)
    path.write_bytes(noisy)
    good, bad = told(open_webdataset([str(path)], Modality.IMAGE))
    assert good[0] == "0"
    assert bad[2].startswith("the archive is damaged at byte 1024")


def test_something_else_named_tar_is_one_problem(tmp_path: Path) -> None:
    """The good archive beside it is read."""
    (tmp_path / "0.tar").write_bytes(b"a text, long enough to be a header " * 100)
    tar(tmp_path / "1.tar", [("1.jpg", b"x")])
    assert told(open_webdataset([str(tmp_path)], Modality.IMAGE)) == [
        ("0.tar", None, "it is not a tar archive"),
        ("1", None, ""),
    ]


def test_an_archive_that_is_gone_is_one_problem(tmp_path: Path) -> None:
    """It vanishes between the listing and the reading."""
    source = open_webdataset([tar(tmp_path / "0.tar", [("0.jpg", b"x")])], Modality.IMAGE)
    (tmp_path / "0.tar").unlink()
    assert told(source) == [
        ("0.tar", None, "the archive cannot be read: No such file or directory")
    ]


def test_the_number_of_samples_is_estimated_from_the_first_file(tmp_path: Path) -> None:
    """Equal files: the estimate is exact."""
    for number in range(3):
        tar(tmp_path / f"{number}.tar", [(f"{i}.jpg", b"x") for i in range(5)])
    source = open_webdataset([f"{tmp_path}/{{0..2}}.tar"], Modality.IMAGE)
    assert source.estimate() == 15
    assert source.description == "3 tar files"
    assert [name for name, _ in source.files()] == ["0.tar", "1.tar", "2.tar"]


def test_a_folder_without_tar_files_is_refused(tmp_path: Path) -> None:
    """The message names the folder."""
    with pytest.raises(UsageError, match=f"no tar files in {tmp_path}"):
        open_webdataset([str(tmp_path)], Modality.IMAGE)


@pytest.mark.parametrize(
    ("modality", "members", "taken"),
    [
        (Modality.DEPTH, ["a.jpg", "a.png", "a.depth.png", "a.thermal.png"], "a.depth.png"),
        (Modality.THERMAL, ["a.depth.png", "a.thermal.png"], "a.thermal.png"),
        (Modality.DEPTH, ["a.left.png", "a.png"], "a.png"),
        (Modality.AUDIO, ["a.jpg", "a.FLAC", "a.mp4"], "a.FLAC"),
        (Modality.VIDEO, ["a.wav", "a.mp4"], "a.mp4"),
        (Modality.TEXT, ["a.jpg", "a.txt"], "a.txt"),
    ],
)
def test_the_member_of_the_modality_is_taken(
    tmp_path: Path, modality: Modality, members: list[str], taken: str
) -> None:
    """The one that bears its name, then the plain suffix, then any suffix that fits."""
    path = tar(tmp_path / "0.tar", [(name, name.encode()) for name in members])
    (sample,) = open_webdataset([path], modality).samples()
    assert content(sample) == taken.encode()
    assert sample.path == f"0.tar#{taken}"


def test_a_sample_without_the_modality_is_a_problem(tmp_path: Path) -> None:
    """The problem names what is there instead."""
    path = tar(tmp_path / "0.tar", [("a.jpg", b"x"), ("a.txt", b"words")])
    (sample,) = open_webdataset([path], Modality.AUDIO).samples()
    assert sample.problem == "no sound among .jpg, .txt"
