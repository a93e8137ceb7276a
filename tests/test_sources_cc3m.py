"""Conceptual Captions 3M in each form it has on disks."""

import hashlib
import io
import logging
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from anybind.errors import UsageError
from anybind.index.sources.base import Place
from anybind.index.sources.cc3m import open_cc3m

URLS = ["http://a/x/one.jpg?w=3", "http://b/two%20of%20us.png", "http://c/three.jpg", "http://d/"]


def tar(path: Path, names: Sequence[str]) -> None:
    """A tar file whose members hold their own names."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))


@pytest.mark.parametrize(
    "name",
    [
        lambda line: f"{line:09d}.jpg",
        lambda line: f"{line}.png",
        lambda line: hashlib.md5(URLS[line].encode()).hexdigest() + ".jpg",
        lambda line: ["one.jpg", "two of us.png", "three.webp"][line],
    ],
    ids=["padded number", "number", "md5 of the url", "end of the url"],
)
def test_the_table_finds_its_downloaded_pictures(
    tmp_path: Path, name: Callable[[int], str]
) -> None:
    """Two of four lines were downloaded, to a folder with a space in its name."""
    lines = "".join(f"caption {i} é\t{url}\n" for i, url in enumerate(URLS))
    (tmp_path / "Train_GCC-training.tsv").write_text(lines)
    (tmp_path / "the images").mkdir()
    for line in (2, 1):
        (tmp_path / "the images" / name(line)).write_bytes(b"picture")
    source = open_cc3m([f"{tmp_path}/Train_GCC-training.tsv", f"{tmp_path}/the images"])
    samples = list(source.samples())
    assert [(s.key, s.caption, s.url, s.path) for s in samples] == [
        (f"{line:09d}", f"caption {line} é", URLS[line], f"the images/{name(line)}")
        for line in (1, 2)
    ]
    assert samples[0].media == Place(file=f"{tmp_path}/the images/{name(1)}")
    assert source.description == "Train_GCC-training.tsv with 2 downloaded pictures"
    assert source.estimate() == 2
    assert list(source.samples(1)) == samples[1:]


def test_a_picture_that_may_belong_to_two_lines_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two urls end in image.jpg; a wrong caption would be worse than none. The log counts both."""
    urls = ["http://a/image.jpg", "http://b/image.jpg", "http://c/mine.jpg"]
    table = "".join(f"caption {i}\t{url}\n" for i, url in enumerate(urls))
    (tmp_path / "t.tsv").write_text(table)
    for name in ("image.jpg", "mine.jpg", "stray.jpg"):
        (tmp_path / name).write_bytes(b"picture")
    with caplog.at_level(logging.WARNING):
        samples = list(open_cc3m([str(tmp_path)]).samples())
    assert [(s.caption, s.path) for s in samples] == [("caption 2", "mine.jpg")]
    assert caplog.messages == ["pictures left out: 1 belong to no line of t.tsv, 1 to several"]


def test_a_table_without_its_pictures_is_refused(tmp_path: Path) -> None:
    """The message says how pictures have to be named."""
    (tmp_path / "t.tsv").write_text("a caption\thttp://a/one.jpg\n")
    (tmp_path / "other.jpg").write_bytes(b"picture")
    with pytest.raises(UsageError, match="none of 1 picture .* number from 0, the MD5"):
        open_cc3m([str(tmp_path)])
    (tmp_path / "u.tsv").write_text("a caption\thttp://a/one.jpg\n")
    with pytest.raises(UsageError, match="there are 2 tables"):
        open_cc3m([str(tmp_path)])


@pytest.mark.parametrize("beside", ["00000.parquet", "00000_stats.json"])
def test_img2dataset_tar_files_are_known_by_what_lies_beside(tmp_path: Path, beside: str) -> None:
    """The members are those img2dataset writes."""
    tar(tmp_path / "00000.tar", ["000000000.jpg", "000000000.txt", "000000003.jpg"])
    (tmp_path / beside).write_bytes(b"{}")
    source = open_cc3m([str(tmp_path)])
    assert source.description == "1 tar file of img2dataset"
    assert [(s.key, s.caption) for s in source.samples()] == [
        ("000000000", "000000000.txt"),
        ("000000003", None),
    ]


def test_img2dataset_files_are_known_by_their_numbers(tmp_path: Path) -> None:
    """The fields are those img2dataset writes; caption and url are taken from them."""
    folder = tmp_path / "00000"
    folder.mkdir()
    fields = '{"caption": "a cat", "url": "http://a", "key": "000000001", "status": "success"}'
    (folder / "000000001.jpg").write_bytes(b"picture")
    (folder / "000000001.json").write_text(fields)
    (folder / "000000001.txt").write_text("a cat")
    (tmp_path / "00000.parquet").write_bytes(b"")
    (tmp_path / "00000_stats.json").write_text("{}")
    source = open_cc3m([str(tmp_path)])
    assert source.description == "1 picture in folders of img2dataset"
    (sample,) = source.samples()
    assert (sample.key, sample.caption, sample.url) == ("00000/000000001", "a cat", "http://a")


def test_the_public_copy_is_known_by_its_name(tmp_path: Path) -> None:
    """Pictures and captions, no JSON."""
    for number in (0, 1):
        tar(tmp_path / f"cc3m-train-000{number}.tar", [f"{number}.jpg", f"{number}.txt"])
    source = open_cc3m([f"{tmp_path}/cc3m-train-{{0000..0001}}.tar"])
    assert (source.kind, source.description) == ("cc3m", "2 tar files named as the public copy")
    assert [(s.key, s.caption) for s in source.samples()] == [("0", "0.txt"), ("1", "1.txt")]


@pytest.mark.parametrize("name", ["birds.tar", "00000.tar", "photo.jpg", "00000.parquet"])
def test_anything_else_is_refused_with_what_was_looked_for(tmp_path: Path, name: str) -> None:
    """Among them a tar file that only looks like img2dataset's."""
    (tmp_path / name).write_bytes(b"x" * 600)
    with pytest.raises(UsageError, match=r"\.tsv .*img2dataset .*cc3m-train-0000\.tar.*folder"):
        open_cc3m([str(tmp_path)])
