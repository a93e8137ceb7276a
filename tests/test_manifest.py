"""anybind.index.manifest: what a folder is, and which of its files count."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from anybind.errors import IndexFolderError
from anybind.index.manifest import Counts, Generation, Manifest, ShardEntry

from .folders import ENCODER, new_manifest

ENTRY = ShardEntry(
    embeddings="img_emb/img_emb_0000.npy",
    metadata="metadata/metadata_0000.parquet",
    rows=997,
    inputs=1000,
    sha256=("aa", "bb"),
)
GENERATION = Generation(
    number=1,
    index="generations/0001/image.index",
    factory="IVF256,SQfp16",
    search={"nprobe": 16},
    recall_at_10=0.98,
    sha256="cc",
    bytes=1234,
)
FINISHED = replace(new_manifest().with_shard(ENTRY), state="complete", generation=GENERATION)


def test_a_saved_manifest_loads_equal(tmp_path: Path) -> None:
    """Written and read again, finished and unfinished."""
    for manifest in (new_manifest(), FINISHED):
        manifest.save(tmp_path)
        assert Manifest.load(tmp_path) == manifest


def test_the_file_has_the_documented_keys(tmp_path: Path) -> None:
    """The keys of the example in the product's description of format 1 are the contract."""
    FINISHED.save(tmp_path)
    facts = json.loads((tmp_path / "manifest.json").read_text())
    assert facts["format"] == 1
    assert {"modality", "encoder", "source", "counts", "shards", "generation"} <= set(facts)
    assert {"created", "anybind"} <= set(facts)
    assert facts["encoder"] == {
        "name": ENCODER.name,
        "fingerprint": ENCODER.fingerprint,
        "dim": ENCODER.dim,
        "reference": False,
    }
    assert facts["counts"] == {"input": 1000, "indexed": 997, "corrupt": 3}
    assert facts["shards"][0]["sha256"] == ["aa", "bb"]
    assert "thumbnails" not in facts["shards"][0]
    assert facts["generation"]["search"] == {"nprobe": 16}


def test_shards_add_up() -> None:
    """Two shards of 1000 inputs, 3 skipped in each."""
    twice = new_manifest().with_shard(ENTRY).with_shard(ENTRY)
    assert twice.counts == Counts(input=2000, indexed=1994, corrupt=6)
    assert twice.shards == (ENTRY, ENTRY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is damaged"),
        ("[]", "is not a manifest of anybind"),
        ('{"format": 1}', "is not a manifest of anybind"),
        ('{"format": 2, "anybind": "9.0"}', "index format 2, .* built by anybind 9.0"),
    ],
)
def test_an_unreadable_manifest_is_one_line(tmp_path: Path, content: str, says: str) -> None:
    """Cut short, of another program, of another version."""
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(IndexFolderError, match=says) as caught:
        Manifest.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_index_says_how_to_build_one(tmp_path: Path) -> None:
    """A folder that is absent, one without a manifest, and a file."""
    with pytest.raises(IndexFolderError, match="no such folder; build one with: build-index"):
        Manifest.load(tmp_path / "absent")
    with pytest.raises(IndexFolderError, match="no manifest.json in it"):
        Manifest.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(IndexFolderError, match="it is a file"):
        Manifest.load(tmp_path / "file")


def test_a_later_anybind_may_add_facts(tmp_path: Path) -> None:
    """The format number changes when old readers can no longer cope, not for every new key."""
    FINISHED.save(tmp_path)
    path = tmp_path / "manifest.json"
    facts = json.loads(path.read_text())
    facts["new"] = facts["encoder"]["new"] = facts["shards"][0]["new"] = 1
    path.write_text(json.dumps(facts))
    assert Manifest.load(tmp_path) == FINISHED


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/x.npy", "a/../../x", "..\\x", ""])
def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path: Path, path: str) -> None:
    """An index folder may come from a stranger."""
    FINISHED.save(tmp_path)
    file = tmp_path / "manifest.json"
    facts = json.loads(file.read_text())
    facts["shards"][0]["embeddings"] = path
    file.write_text(json.dumps(facts))
    with pytest.raises(IndexFolderError, match="not a path inside the index folder"):
        Manifest.load(tmp_path)


def test_another_encoder_is_refused_with_both_names(tmp_path: Path) -> None:
    """The same weights under another name are the same encoder."""
    manifest = new_manifest()
    manifest.check_encoder(tmp_path, replace(ENCODER, name="/elsewhere/mini.safetensors"))
    other = replace(ENCODER, name="other", fingerprint="sha256:" + "cd" * 32)
    with pytest.raises(IndexFolderError, match=r"numpy-projection .*abab.* other .*cdcd"):
        manifest.check_encoder(tmp_path, other)


def test_centres_are_kept_and_older_manifests_have_none(tmp_path: Path) -> None:
    """What is written is read; a manifest without the key is one of an earlier anybind."""
    with_centres = replace(FINISHED, centres={"image": (0.25, -0.5), "text": (1.0, 0.0)})
    with_centres.save(tmp_path)
    assert Manifest.load(tmp_path) == with_centres
    path = tmp_path / "manifest.json"
    facts = json.loads(path.read_text())
    assert facts.pop("centres") == {"image": [0.25, -0.5], "text": [1.0, 0.0]}
    path.write_text(json.dumps(facts))
    assert Manifest.load(tmp_path) == FINISHED


def test_an_unknown_modality_is_refused(tmp_path: Path) -> None:
    """Folders are named after it, and a manifest may come from a stranger."""
    replace(FINISHED, modality="../image").save(tmp_path)
    with pytest.raises(IndexFolderError, match="'../image' is not a valid Modality"):
        Manifest.load(tmp_path)
