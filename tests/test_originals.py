"""The pictures that items were indexed from; that nothing else is read stands in tests/security."""

import shutil
from pathlib import Path

import pytest

import anybind
from anybind.index import originals
from anybind.index.originals import read_original

from .pictures import picture, sha256, write_tar


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_is_given_out_in_its_own_type(tmp_path: Path, format: str) -> None:
    content = picture(format)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a#1.tar#b").write_bytes(content)  # an odd name, but a file's
    found = read_original(tmp_path, "sub/a#1.tar#b", sha256(content))
    assert found is not None
    assert (found.content, found.media_type) == (content, f"image/{format.lower()}")


def test_a_member_is_found_in_its_archive_also_when_that_is_written_anew(tmp_path: Path) -> None:
    first, second = picture(), picture()
    path = tmp_path / "a.tar#b.tar"
    write_tar(path, {"x/1.png": first, "1.txt": b"a", "x/2.png": second})
    for name, content in (("x/1.png", first), ("x/2.png", second)):
        found = read_original(tmp_path, f"a.tar#b.tar#{name}", sha256(content))
        assert found is not None and found.content == content
    assert read_original(tmp_path, "a.tar#b.tar#1.txt", sha256(b"a")) is None
    write_tar(path, {"x/2.png": second})
    assert read_original(tmp_path, "a.tar#b.tar#x/1.png", sha256(first)) is None
    assert read_original(tmp_path, "a.tar#b.tar#x/2.png", sha256(second)) is not None


def test_what_was_changed_or_is_gone_is_not_given_out(tmp_path: Path) -> None:
    content = picture()
    (tmp_path / "a.png").write_bytes(picture())
    assert read_original(tmp_path, "a.png", sha256(content)) is None
    assert read_original(tmp_path, "b.png", sha256(content)) is None
    assert read_original(tmp_path / "gone", "a.png", sha256(content)) is None


def test_what_is_too_large_or_no_picture_is_not_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, text = picture(), b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(text)
    write_tar(tmp_path / "c.tar", {"a.png": content})
    assert read_original(tmp_path, "b.png", sha256(text)) is None
    monkeypatch.setattr(originals, "MAX_BYTES", len(content))
    assert read_original(tmp_path, "a.png", sha256(content)) is not None
    monkeypatch.setattr(originals, "MAX_BYTES", len(content) - 1)
    assert read_original(tmp_path, "a.png", sha256(content)) is None
    assert read_original(tmp_path, "c.tar#a.png", sha256(content)) is None


@pytest.mark.parametrize("source", ["folder", "webdataset"])
def test_an_index_finds_its_originals_also_where_both_were_moved(
    world_pictures: Path, encoder: anybind.Encoder, tmp_path: Path, source: str
) -> None:
    """The reference is the file of the item's key."""
    there = tmp_path / "there"
    there.mkdir()
    files = sorted(world_pictures.glob("*.png"))[:3]
    contents = {path.stem: path.read_bytes() for path in files}
    if source == "folder":
        for path in files:
            shutil.copy(path, there / path.name)
    else:
        write_tar(there / "0.tar", {path.name: path.read_bytes() for path in files})
    inputs = (str(there if source == "folder" else there / "0.tar"),)
    out = there.parent / "index"
    options = anybind.BuildOptions(source=source, inputs=inputs, out=out, workers=1)
    anybind.build_index(options, encoder)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    shutil.move(there, moved / "there")
    shutil.move(out, moved / "index")
    index = anybind.load(moved / "index", encoder=encoder).index
    for item in range(3):
        found = index.original(item)
        key = index.rows([item])[0].key
        assert found is not None and found.content == contents[key]
        assert found.media_type == "image/png"
    shutil.rmtree(moved / "there")
    assert index.original(0) is None


@pytest.fixture(scope="module")
def encoder() -> anybind.Encoder:
    return anybind.load_encoder()


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    content = picture()
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").symlink_to("a.png")
    found = read_original(tmp_path, "b.png", sha256(content))
    assert found is not None and found.content == content


def test_a_damaged_archive_gives_what_is_before_the_damage(tmp_path: Path) -> None:
    first, second = picture(), picture()
    path = tmp_path / "a.tar"
    write_tar(path, {"1.png": first, "2.png": second})
    path.write_bytes(path.read_bytes()[: 512 + 1024 + 100])
    found = read_original(tmp_path, "a.tar#1.png", sha256(first))
    assert found is not None and found.content == first
    assert read_original(tmp_path, "a.tar#2.png", sha256(second)) is None
