"""anybind.index.verify: checking a folder, and describing it."""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from anybind.errors import IndexFolderError
from anybind.index.verify import describe, verify

from .folders import build_folder, unit_rows, write_folder

VECTORS = unit_rows(100, seed=15)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished index of 100 vectors in 3 shards."""
    build_folder(tmp_path / "index", VECTORS)
    return tmp_path / "index"


def test_a_fresh_index_has_no_problems(folder: Path) -> None:
    """As it was built."""
    assert list(verify(folder)) == []


@pytest.mark.parametrize(
    "name",
    [
        "img_emb/img_emb_0001.npy",
        "metadata/metadata_0002.parquet",
        "thumbnails/thumbnails_0000.tar",
        "generations/0001/image.index",
    ],
)
def test_one_flipped_bit_is_found_in_any_file(folder: Path, name: str) -> None:
    """In the middle of the file, where no header is."""
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    problems = list(verify(folder))
    assert problems and all("sha256" in problem for problem in problems)
    assert problems[0].startswith(f"{name}: ")


def test_a_missing_file_is_named(folder: Path) -> None:
    """Each of these is needed to search or to account."""
    for name in ("img_emb/img_emb_0000.npy", "errors.parquet"):
        (folder / name).rename(folder / "away")
        (problem,) = verify(folder)
        assert name in problem
        (folder / "away").rename(folder / name)
    (folder / "catalog.sqlite").unlink()
    (problem,) = verify(folder)
    assert "catalog.sqlite is missing" in problem
    (folder / "generations/0001/image.index").unlink()
    assert list(verify(folder)) == ["generations/0001/image.index: No such file or directory"]


def test_a_catalog_that_says_something_else_is_found(folder: Path) -> None:
    """One caption changed behind its back."""
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.execute("UPDATE items SET caption = 'x' WHERE id = 50")
    assert list(verify(folder)) == [
        "catalog.sqlite: its rows differ from metadata/metadata_0001.parquet"
    ]


def test_an_index_over_other_vectors_is_found(folder: Path, tmp_path: Path) -> None:
    """The FAISS file of a shuffled copy, with its checksum in the manifest: all adds up but it."""
    order = np.random.default_rng(0).permutation(100)
    build_folder(tmp_path / "shuffled", VECTORS[order])
    shutil.copy(tmp_path / "shuffled/generations/0001/image.index", folder / "generations/0001/")
    facts = json.loads((folder / "manifest.json").read_text())
    other = json.loads((tmp_path / "shuffled/manifest.json").read_text())
    facts["generation"]["sha256"] = other["generation"]["sha256"]
    (folder / "manifest.json").write_text(json.dumps(facts))
    problems = list(verify(folder))
    assert len(problems) > 50
    assert all("searching with its vector finds another item" in line for line in problems)


def test_counts_that_do_not_add_up_are_found(folder: Path) -> None:
    """A shard dropped from the manifest."""
    facts = json.loads((folder / "manifest.json").read_text())
    facts["shards"].pop()
    (folder / "manifest.json").write_text(json.dumps(facts))
    problems = list(verify(folder))
    assert problems[0] == "manifest.json: counts 103 = 100 + 3, its shards 82 = 80 + 2"
    assert any("does not hold together" in line for line in problems)


def test_a_link_to_another_generation_is_found(folder: Path) -> None:
    """clip-retrieval would serve it."""
    (folder / "image.index").unlink()
    (folder / "image.index").write_bytes(b"")
    assert list(verify(folder)) == ["image.index: it is not the index of generation 1"]


def test_an_unfinished_build_is_a_problem_and_no_index_an_error(tmp_path: Path) -> None:
    """There is something to finish, or nothing to check."""
    write_folder(tmp_path, VECTORS)
    (problem,) = verify(tmp_path)
    assert problem.startswith("the build stopped after 103 items")
    with pytest.raises(IndexFolderError, match="no index at"):
        list(verify(tmp_path / "absent"))


def test_describe_gives_the_facts(folder: Path) -> None:
    """Those the folder was built with; JSON can hold them."""
    facts = describe(folder)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["indexed"], facts["corrupt"], facts["inputs"]) == (100, 3, 103)
    assert (facts["factory"], facts["recall_at_10"], facts["dim"]) == ("Flat", 1.0, 32)
    assert Path(str(facts["report"])).is_file()
    write_folder(folder.parent / "unfinished", VECTORS)
    assert describe(folder.parent / "unfinished")["state"] == "building"
