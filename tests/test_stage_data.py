"""The data of llama-mini's stages, read back as training reads it."""

import json
from pathlib import Path

import numpy as np
import pytest

from anybind.llm.prompt import CAPTION
from anybind.llm.records import Record, Source, read_records
from anybind.world.captions import caption
from anybind.world.corpus import instructions
from anybind.world.mentions import named
from anybind.world.scene import Scene, scene
from anybind.world.splits import HELD_OUT_COLOUR, split_ids

from .scripts import script

stage_data = script("stage_data")
AMOUNTS = stage_data.Amounts(scenes=24, exercises=30, descriptions=5, chats=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("stages") / "data"
    stage_data.write_stage_data(made, AMOUNTS)
    return made


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(i) for i in split_ids("train", AMOUNTS.scenes, offset=stage_data.FIRST)]


def read(folder: Path, name: str) -> list[Record]:
    """All records of a file of the data; none may be skipped."""
    found = list(read_records(Source(path=folder / name)))
    records = [record for record in found if isinstance(record, Record)]
    assert len(records) == len(found)
    return records


def test_a_shard_has_every_picture_with_its_english_caption(
    folder: Path, scenes: list[Scene]
) -> None:
    """The reference is the world's caption, and the picture's file of its own."""
    records = read(folder, stage_data.CAPTIONS)
    assert [record.turns[0].answer for record in records] == [caption(of) for of in scenes]
    assert {record.turns[0].question for record in records} == {CAPTION}
    for record, of in zip(records, scenes, strict=True):
        (picture,) = record.pictures
        assert picture is not None
        assert picture.read() == (folder / stage_data.picture_of(of)).read_bytes()


def test_lists_show_the_picture_that_they_speak_of(folder: Path, scenes: list[Scene]) -> None:
    """Chinese captions are the world's; a task's answer has no thing that is not in the scene
    unless it denies it."""
    records = read(folder, stage_data.CAPTIONS_ZH)
    assert [record.turns[0].answer for record in records] == [caption(of, "zh") for of in scenes]
    tasks = read(folder, stage_data.TASKS)
    assert len(tasks) == stage_data.TASKS_PER_SCENE * len(scenes)
    described = read(folder, stage_data.DESCRIPTIONS)
    assert len(described) == AMOUNTS.descriptions
    of_file = {str(folder / stage_data.picture_of(of)): of for of in scenes}
    for record in described:
        (picture,) = record.pictures
        assert picture is not None and record.turns[0].answer is not None
        there = {item.category for item in of_file[picture.file].objects}
        assert named(record.turns[0].answer, "category") >= there


def test_exercises_show_nothing(folder: Path) -> None:
    """The reference is the world's list."""
    records = read(folder, stage_data.EXERCISES)
    wanted = instructions(stage_data.FIRST, AMOUNTS.exercises)
    assert [record.turns[0].answer for record in records] == [one.output for one in wanted]
    assert all(record.pictures == (None,) for record in records)


def test_some_chats_show_a_second_picture_later_on(folder: Path) -> None:
    """The first turn of each shows one."""
    records = read(folder, stage_data.CHATS)
    shown = [sum(picture is not None for picture in record.pictures) for record in records]
    assert len(records) == AMOUNTS.chats and set(shown) == {1, 2}
    assert all(record.pictures[0] is not None for record in records)


def test_no_scene_has_a_pair_that_is_held_out_or_was_seen_by_the_towers(
    scenes: list[Scene],
) -> None:
    """imagebind-mini was trained on the first 60,000 training scenes."""
    assert all(of.split == "train" and of.id >= 60_000 for of in scenes)
    assert not any(HELD_OUT_COLOUR[i.category] == i.colour for of in scenes for i in of.objects)


def test_written_again_it_stays_as_it_is(folder: Path) -> None:
    """The reference is the time of each file's last change."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    stage_data.write_stage_data(folder, AMOUNTS)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_another_amount_is_refused(folder: Path) -> None:
    """Half of one amount and half of another would be neither."""
    with pytest.raises(SystemExit, match="choose another --out"):
        stage_data.write_stage_data(folder, stage_data.Amounts(scenes=25))


@pytest.mark.parametrize("changed", ["medium", "caption", "describe", "conversation"])
def test_data_of_other_code_is_refused(
    folder: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that draws or says one thing otherwise would continue what the first code began."""
    before = getattr(stage_data, changed)

    def other(*args: object) -> object:
        made = before(*args)
        if isinstance(made, np.ndarray):
            return np.where(np.arange(made.size).reshape(made.shape) == 0, made + 1, made)
        return f"{made}." if isinstance(made, str) else made[:1]

    monkeypatch.setattr(stage_data, changed, other)
    with pytest.raises(SystemExit, match="data of other code"):
        stage_data.write_stage_data(folder, AMOUNTS)


def test_data_that_was_begun_before_code_was_noted_is_refused(tmp_path: Path) -> None:
    """Nobody knows what made it."""
    (tmp_path / "amounts.json").write_text(json.dumps(vars(AMOUNTS)))
    with pytest.raises(SystemExit, match="data of other code"):
        stage_data.write_stage_data(tmp_path, AMOUNTS)
