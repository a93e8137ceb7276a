"""anybind.index.layout: names in an index folder."""

from pathlib import Path

import pytest

from anybind.index.layout import (
    embeddings_path,
    erase,
    generation_folder,
    metadata_path,
    size_in_bytes,
    thumbnails_path,
)

from .folders import build_folder, unit_rows


def test_names_are_those_of_clip_retrieval() -> None:
    """img_emb/img_emb_0000.npy and metadata/metadata_0000.parquet, as its reader expects."""
    assert embeddings_path("image", 0) == "img_emb/img_emb_0000.npy"
    assert embeddings_path("audio", 12) == "audio_emb/audio_emb_0012.npy"
    assert metadata_path(3) == "metadata/metadata_0003.parquet"
    assert thumbnails_path(3) == "thumbnails/thumbnails_0003.tar"
    assert generation_folder(1) == "generations/0001"


def test_erase_removes_the_index_and_nothing_else(tmp_path: Path) -> None:
    """A file of the user's own, and the source's tars, may lie in the same folder."""
    build_folder(tmp_path, unit_rows(20, seed=0))
    (tmp_path / "notes.txt").touch()
    (tmp_path / "source").mkdir()
    erase(tmp_path, "image")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "source"]


def test_erase_removes_the_manifest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its first step, it leaves a folder without an index, not a broken index."""
    build_folder(tmp_path, unit_rows(20, seed=0))
    removed: list[str] = []
    monkeypatch.setattr("anybind.index.layout.remove", lambda path: removed.append(path.name))
    erase(tmp_path, "image")
    assert removed[0] == "manifest.json"


def test_the_size_is_that_of_the_index_alone(tmp_path: Path) -> None:
    """The sum of all regular files, before another one came to lie beside them."""
    build_folder(tmp_path, unit_rows(20, seed=0))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    total = sum(path.stat().st_size for path in files)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "00000.tar").write_bytes(bytes(12345))
    assert size_in_bytes(tmp_path, "image") == total
