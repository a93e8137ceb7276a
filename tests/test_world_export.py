"""Exports: what is in the files, that they repeat, resume, and refuse to be mixed."""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anybind.encoders.audio import load_sound
from anybind.encoders.clouds import load_cloud
from anybind.encoders.imu import load_motion
from anybind.encoders.maps import ThermalPreprocessor, load_depth
from anybind.encoders.modality import Modality
from anybind.encoders.video import VideoPreprocessor, read_timeline
from anybind.errors import UsageError
from anybind.world import export
from anybind.world.captions import caption
from anybind.world.cloud import cloud
from anybind.world.export import FOLDER_OF, SUFFIX_OF, export_files, export_webdataset
from anybind.world.heat import thermal
from anybind.world.motion import VIDEO_SECONDS, imu
from anybind.world.render import Rendering, boxes, render
from anybind.world.scene import Scene, scene
from anybind.world.sound import sound
from anybind.world.splits import split_ids


def write(
    out: Path, *, limit: int = 7, size: int = 32, rows_per_shard: int = 3, workers: int = 0
) -> list[Path]:
    """Export 7 small scenes in shards of 3."""
    return export_webdataset(
        out, "test", limit, size=size, rows_per_shard=rows_per_shard, workers=workers,
        progress=False,
    )  # fmt: skip


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


def test_every_modality_is_read_back_by_its_loader(tmp_path: Path) -> None:
    """Values against the scene's arrays, up to the rounding of each format."""
    out = tmp_path / "all"
    media = [str(modality) for modality in SUFFIX_OF]
    table = export_files(out, "test", 2, modalities=media, size=64, workers=0, progress=False)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "category", "colour", "caption", *media]
    assert rows[0]["points"] == "points/20000000.npy"
    for row in rows:
        of = scene(int(row["id"]))
        heard = load_sound(out / row["audio"])
        assert heard.rate == 16_000
        np.testing.assert_array_equal(heard.samples[0] * 32768, sound(of))
        np.testing.assert_array_equal(load_cloud(out / row["points"]), cloud(of))
        metres = load_depth(out / row["depth"], depth_scale=0.001)
        np.testing.assert_allclose(metres, render(of, 64).depth, atol=0.00051)
        heat = np.asarray(Image.open(out / row["thermal"]))
        np.testing.assert_array_equal(heat, thermal(of, 64))
        ready = ThermalPreprocessor(size=64)(out / row["thermal"])
        np.testing.assert_allclose(ready[0] * 255, heat, atol=1e-3)
        felt = load_motion(out / row["imu"])
        assert felt.rate == pytest.approx(400)
        np.testing.assert_allclose(felt.samples, imu(of), rtol=1e-4, atol=1e-4)
        timeline = read_timeline(out / row["video"])
        assert float(timeline.duration) == pytest.approx(VIDEO_SECONDS, abs=0.1)
        clips = VideoPreprocessor(size=32)(out / row["video"])
        assert np.isfinite(clips).all()


def test_modalities_may_be_added_later(tmp_path: Path) -> None:
    """The table then has both, and what is there is not written again."""
    export_files(tmp_path, "test", 2, modalities=["points"], size=32, workers=0, progress=False)
    first = next((tmp_path / "points").iterdir())
    before = first.stat().st_mtime_ns
    table = export_files(
        tmp_path, "test", 2, modalities=["thermal"], size=32, workers=0, progress=False
    )
    assert table.read_text().splitlines()[0] == "id,category,colour,caption,points,thermal"
    assert first.stat().st_mtime_ns == before
    assert len(list((tmp_path / "thermal").glob("*.png"))) == 2


@pytest.mark.parametrize("modality", ["audio", "points", "depth", "imu"])
def test_shards_hold_any_modality(tmp_path: Path, modality: str) -> None:
    """The member is the file that the export of files writes; boxes come with what is rendered."""
    (shard,) = export_webdataset(
        tmp_path / "shards", "test", 2, modality=modality, size=32, workers=0, progress=False
    )
    table = export_files(
        tmp_path / "files", "test", 2, modalities=[modality], size=32, workers=0, progress=False
    )
    with tarfile.open(shard) as tar:
        suffix = SUFFIX_OF[Modality(modality)]
        assert tar.getnames()[:3] == [f"20000000.{end}" for end in (suffix, "txt", "json")]
        member, facts = (tar.extractfile(f"20000000.{end}") for end in (suffix, "json"))
        assert member is not None and facts is not None
        path = table.parent / FOLDER_OF[Modality(modality)] / f"20000000.{suffix}"
        assert member.read() == path.read_bytes()
        described = json.loads(facts.read())["objects"]
        found = boxes(render(scene(20_000_000), 32).mask)
        expected = [list(box) for box in found.values()] if modality == "depth" else []
        assert [item["box"] for item in described if "box" in item] == expected
    with pytest.raises(UsageError, match="modality"):
        export_webdataset(tmp_path / "shards", "test", 2, size=32, workers=0, progress=False)


def test_wrong_requests_write_nothing(tmp_path: Path) -> None:
    """Each names what there is instead."""
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="image"):
        export_files(out, "test", 4, modalities=("image", "smell"))
    with pytest.raises(UsageError, match="even"):
        export_files(out, "test", 4, modalities=("video",), size=33)
    with pytest.raises(UsageError, match="smell"):
        export_webdataset(out, "test", 4, modality="smell")
    with pytest.raises(UsageError, match="train, validation, test, compositional"):
        export_files(out, "exam", 4)
    with pytest.raises(UsageError, match="at least 1"):
        export_webdataset(out, "test", 0)
    with pytest.raises(UsageError, match="16 to 4096"):
        export_webdataset(out, "test", 4, size=5)
    assert not out.exists()
