"""Scenes of the simulated world as a source."""

import tarfile
from pathlib import Path

import pytest

from anybind.encoders.modality import Modality
from anybind.errors import UsageError
from anybind.index.sources import open_source
from anybind.world.captions import caption
from anybind.world.scene import scene
from anybind.world.splits import split_ids


def test_scenes_are_rendered_beside_the_index_and_read_from_there(tmp_path: Path) -> None:
    """Captions are the world's own; the second time nothing is rendered."""
    source = open_source("world", ["validation"], out=tmp_path, limit=3)
    samples = list(source.samples())
    ids = split_ids("validation", 3)
    assert [s.caption for s in samples] == [caption(scene(i)) for i in ids]
    assert [int(s.key) for s in samples] == list(ids)
    (shard,) = (tmp_path / "source").rglob("*.tar")
    assert shard.parent == source.root
    with tarfile.open(shard) as tar:
        assert samples[0].path == f"{shard.name}#{tar.getnames()[0]}"
    written = shard.stat().st_mtime_ns
    assert list(open_source("world", ["validation"], out=tmp_path, limit=3).samples()) == samples
    assert shard.stat().st_mtime_ns == written


def test_the_world_has_to_be_asked_for_a_number_of_scenes(tmp_path: Path) -> None:
    """A split holds ten million."""
    with pytest.raises(UsageError, match="--limit"):
        open_source("world", [], out=tmp_path, limit=None)
    with pytest.raises(UsageError, match="no split.* train, validation, test"):
        open_source("world", ["exam"], out=tmp_path, limit=3)


def test_scenes_are_made_in_the_modality_asked_for(tmp_path: Path) -> None:
    """Captions are those of the pictures; the member's ending tells what it is."""
    for modality, ending in ((Modality.AUDIO, ".wav"), (Modality.TEXT, ".txt")):
        source = open_source("world", ["test"], modality=modality, out=tmp_path, limit=2)
        samples = list(source.samples())
        assert [s.caption for s in samples] == [caption(scene(i)) for i in split_ids("test", 2)]
        assert all(s.path.endswith(ending) and s.media is not None for s in samples)
    folders = sorted(path.name for path in (tmp_path / "source").iterdir())
    assert folders == ["test-2", "test-2-audio"]
