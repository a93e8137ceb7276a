"""Exports: what is in the files, that they repeat, resume, and refuse to be mixed."""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anybind.errors import UsageError
from anybind.world import export
from anybind.world.captions import caption
from anybind.world.export import export_files, export_webdataset
from anybind.world.render import Rendering, render
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids


def write(out: Path, **changes: int) -> list[Path]:
    """Export 7 small scenes in shards of 3."""
    settings = {"limit": 7, "size": 32, "rows_per_shard": 3, "workers": 0, **changes}
    limit = settings.pop("limit")
    return export_webdataset(out, "test", limit, progress=False, **settings)


def test_shards_hold_the_scenes_in_order(tmp_path: Path) -> None:
    """Names from the ids, captions from ``caption``, pictures from ``render`` up to JPEG's loss."""
    paths = write(tmp_path / "world")
    assert [path.name for path in paths] == ["00000.tar", "00001.tar", "00002.tar"]
    ids = iter(split_ids("test", 7))
    for path, n in zip(paths, (3, 3, 1), strict=True):
        with tarfile.open(path) as tar:
            members = {name: tar.extractfile(name) for name in tar.getnames()}
            content = {name: file.read() for name, file in members.items() if file is not None}
        keys = list(dict.fromkeys(name.split(".")[0] for name in content))
        assert len(keys) == n
        for key in keys:
            i = next(ids)
            of = scene(i)
            assert key == f"{i:08d}"
            assert content[f"{key}.txt"].decode() == caption(of)
            facts = json.loads(content[f"{key}.json"])
            assert facts["id"] == i
            assert (facts["category"], facts["colour"]) == (
                of.objects[0].category,
                of.objects[0].colour,
            )
            assert facts["place"] == of.place.value
            assert facts["caption_zh"] == caption(of, "zh")
            assert [item["category"] for item in facts["objects"]] == [
                item.category for item in of.objects
            ]
            picture = np.asarray(Image.open(io.BytesIO(content[f"{key}.jpg"]))).astype(int)
            assert np.abs(picture - render(of, 32).image).mean() < 12


def test_shards_are_the_same_bytes_whoever_writes_them(tmp_path: Path) -> None:
    """One process against two, and a second run against the first."""
    alone, together = write(tmp_path / "a"), write(tmp_path / "b", workers=2)
    for a, b in zip(alone, together, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_an_interrupted_export_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the second shard: the first stays, and the end is that of one run."""
    whole = [path.read_bytes() for path in write(tmp_path / "whole")]

    def failing(of: Scene, size: int) -> Rendering:
        if of.id == 20_000_004:
            raise KeyboardInterrupt
        return render(of, size)

    monkeypatch.setattr(export, "CHUNK", 1)
    monkeypatch.setattr(export, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "part")
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == [
        "00000.tar",
        "world.json",
    ]
    monkeypatch.setattr(export, "render", render)
    paths = write(tmp_path / "part")
    assert [path.read_bytes() for path in paths] == whole


def test_finished_shards_are_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run may not call the renderer at all."""
    before = [path.stat().st_mtime_ns for path in write(tmp_path)]
    monkeypatch.delattr(export, "render")
    assert [path.stat().st_mtime_ns for path in write(tmp_path)] == before


@pytest.mark.parametrize("changes", [{"size": 48}, {"limit": 8}, {"rows_per_shard": 4}])
def test_other_settings_in_the_same_folder_are_refused(
    tmp_path: Path, changes: dict[str, int]
) -> None:
    """The message names what differs, and nothing is touched."""
    write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=next(iter(changes))):
        write(tmp_path, **changes)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """A stranger's photos and a damaged note."""
    (tmp_path / "holiday.jpg").write_bytes(b"jpeg")
    with pytest.raises(UsageError, match="other files"):
        write(tmp_path)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        write(tmp_path)


def test_files_come_with_a_table_of_relative_paths(tmp_path: Path) -> None:
    """Columns as documented; every path opens; a second run writes no picture."""
    table = export_files(tmp_path / "x", "compositional", 4, size=32, workers=0, progress=False)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "category", "colour", "caption", "image"]
    assert [row["image"] for row in rows] == [f"images/{30_000_000 + i}.jpg" for i in range(4)]
    for row in rows:
        of = scene(int(row["id"]))
        assert row["caption"] == caption(of)
        assert (row["category"], row["colour"]) == (of.objects[0].category, of.objects[0].colour)
        with Image.open(tmp_path / "x" / row["image"]) as picture:
            assert picture.size == (32, 32)
    first = tmp_path / "x" / rows[0]["image"]
    before = first.stat().st_mtime_ns
    export_files(tmp_path / "x", "compositional", 4, size=32, workers=0, progress=False)
    assert first.stat().st_mtime_ns == before


def test_wrong_requests_write_nothing(tmp_path: Path) -> None:
    """Each names what there is instead."""
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="image"):
        export_files(out, "test", 4, modalities=("image", "smell"))
    with pytest.raises(UsageError, match="train, validation, test, compositional"):
        export_files(out, "exam", 4)
    with pytest.raises(UsageError, match="at least 1"):
        export_webdataset(out, "test", 0)
    with pytest.raises(UsageError, match="16 to 4096"):
        export_webdataset(out, "test", 4, size=5)
    assert not out.exists()
