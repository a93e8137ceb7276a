"""What is asked of each medium, and how answers are marked."""

from collections import Counter

import numpy as np
import pytest

from anybind.encoders.modality import Modality
from anybind.llm.prompt import CAPTION, format_prompt
from anybind.world.dialogues import questions
from anybind.world.mentions import named
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

from .scripts import script

examination = script("examination")
Column, Measure = examination.Column, examination.Measure


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """As they come: about a quarter have two things."""
    return [scene(number) for number in split_ids("validation", 120)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("modality", examination.CARRIED)
def test_right_answers_have_full_marks(
    modality: Modality, language: str, scenes: list[Scene]
) -> None:
    """Each task's own answer is judged; the columns are those that the medium carries."""
    tasks = [examination.examination(of, modality, language) for of in scenes]
    marks = examination.mark(tasks, [[task.answer for task in asked] for asked in tasks])
    assert np.nanmin(marks) == 1
    asked = {Column.CAPTION_CATEGORY, Column.CATEGORY, Column.YES, Column.NO}
    if modality in (Modality.IMAGE, Modality.TEXT, Modality.VIDEO):
        asked = set(Column)
    assert {column for column in Column if not np.isnan(marks[:, column]).all()} == asked


def test_a_sound_is_asked_neither_colours_nor_places_nor_about_two_things(
    scenes: list[Scene],
) -> None:
    """By the words of the questions: none names a colour or a place. Captions are asked of all."""
    for of in scenes:
        caption, *asked = examination.examination(of, Modality.AUDIO)
        assert caption.prompt == format_prompt(CAPTION)
        assert list(caption.judges) == [Column.CAPTION_CATEGORY]
        requests = [task.request for task in asked]
        assert not any(named(text, "colour") | named(text, "place") for text in requests)
        assert not asked or len(of.objects) == 1


def test_a_picture_is_asked_every_question(scenes: list[Scene]) -> None:
    """The world's own questions about the scene are the reference."""
    for of in scenes:
        _, *asked = examination.examination(of, Modality.IMAGE)
        expected = [format_prompt(question.question) for question in questions(of)]
        assert [task.prompt for task in asked] == expected


def test_short_examinations_ask_every_kind_about_equally_often(scenes: list[Scene]) -> None:
    """Of five questions in turn, two are of yes/no."""
    short = [examination.short_examination(of, Modality.IMAGE) for of in scenes]
    assert all(asked[0].kind == "caption" and len(asked) == 2 for asked in short)
    counted = Counter(asked[1].kind for asked in short)
    assert counted == {"category": 24, "colour": 24, "place": 24, "yes/no": 48}


def test_chance_is_half_for_yes_and_no_and_one_in_all_categories(scenes: list[Scene]) -> None:
    """Half of the claims are true; the share of others with the same category is counted here."""
    alone = [of for of in scenes if len(of.objects) == 1]
    tasks = [examination.examination(of, Modality.IMAGE) for of in alone]
    marks = examination.chance(tasks, seed=0)
    halves = np.nanmean(marks[:, [Column.YES, Column.NO]])
    assert halves == pytest.approx(0.5, abs=0.03)
    times = Counter(of.objects[0].category for of in alone)
    equal = sum((n / len(alone)) ** 2 for n in times.values())
    assert np.nanmean(marks[:, Column.CATEGORY]) == pytest.approx(equal, abs=0.02)


def test_weights_of_a_measure_sum_to_one_over_what_is_carried() -> None:
    """By hand: of four kinds each counts a quarter, of two a half; yes and no share theirs."""
    image = examination.weights_of(Modality.IMAGE, Measure.ANSWERS)
    assert {Column(i).name: w for i, w in enumerate(image) if w} == {
        "CATEGORY": 0.25, "COLOUR": 0.25, "PLACE": 0.25, "YES": 0.125, "NO": 0.125,
    }  # fmt: skip
    audio = examination.weights_of(Modality.AUDIO, Measure.ALL)
    assert {Column(i).name: w for i, w in enumerate(audio) if w} == {
        "CAPTION_CATEGORY": 0.5, "CATEGORY": 0.25, "YES": 0.125, "NO": 0.125,
    }  # fmt: skip
