"""What is asked about a scene that is shown in some medium, and which answers are right.

A medium is asked only about what it carries: a sound says nothing of colours. Of two things, a
sound and a cloud do not say where each is, so questions to them are about scenes of one thing;
a caption is right if it names a thing of the scene and none that is not there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum, auto
from functools import partial

import numpy as np
import numpy.typing as npt

from anybind.encoders.modality import Modality
from anybind.llm.prompt import CAPTION, format_prompt
from anybind.world.captions import Language, caption
from anybind.world.dialogues import (
    Question,
    answered_rightly,
    names_category,
    names_colour,
    questions,
)
from anybind.world.mentions import Kind, named
from anybind.world.phrases import CAPTION_REQUESTS
from anybind.world.scene import Scene

Floats = npt.NDArray[np.float64]
Judge = Callable[[str], bool]

CHANCE_DRAWS = 20  # answers to other scenes that each task is tried with


class Column(IntEnum):
    """What is counted, as the columns of marks."""

    CAPTION_CATEGORY = 0  # a caption names the category
    CAPTION_COLOUR = auto()
    CATEGORY = auto()  # from here on: a question of that kind is answered rightly
    COLOUR = auto()
    PLACE = auto()
    YES = auto()  # yes/no, to be affirmed
    NO = auto()  # yes/no, to be denied
    COUNT = auto()
    RELATION = auto()


class Measure(StrEnum):
    """A share, or an average of shares, of the columns that a medium carries."""

    CAPTION_CATEGORY = "caption names category"
    CAPTION_COLOUR = "caption names colour"
    ANSWERS = "answers right"  # mean over category, colour, place and yes/no, whose two halves
    # (to be affirmed, to be denied) count alike
    ALL = "captions and answers"  # both in equal parts


COLUMN_OF: Mapping[Kind, Column] = {
    "category": Column.CATEGORY,
    "colour": Column.COLOUR,
    "place": Column.PLACE,
    "count": Column.COUNT,
    "relation": Column.RELATION,
}
EVERYTHING: frozenset[Kind] = frozenset({*COLUMN_OF, "yes/no"})
UNCOUNTED: frozenset[Kind] = frozenset({"count", "relation"})  # reported, in no average
CARRIED: Mapping[Modality, frozenset[Kind]] = {
    Modality.IMAGE: EVERYTHING,
    Modality.VIDEO: EVERYTHING,
    Modality.TEXT: EVERYTHING,
    Modality.AUDIO: frozenset({"category", "yes/no"}),
    Modality.POINTS: frozenset({"category", "yes/no"}),
    Modality.DEPTH: frozenset({"category", "yes/no"}),
    Modality.THERMAL: frozenset({"category", "yes/no"}),
}
WITHOUT_WHERE = frozenset({Modality.AUDIO, Modality.POINTS})  # no relation of two things


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something the language model is asked about a scene."""

    kind: str  # "caption" or a Kind: tasks of one kind have answers of one kind
    request: str
    answer: str  # a right one
    judges: Mapping[Column, Judge]

    @property
    def prompt(self) -> str:
        """What the language model reads."""
        return format_prompt(self.request)


def caption_task(of: Scene, modality: Modality, language: Language = "en") -> Task:
    """A caption, by the words of stage 1; in Chinese, by words of the instructions."""
    judges: dict[Column, Judge] = {Column.CAPTION_CATEGORY: partial(names_category, of)}
    if "colour" in CARRIED[modality]:
        judges[Column.CAPTION_COLOUR] = partial(names_colour, of)
    request = CAPTION if language == "en" else CAPTION_REQUESTS[language][0]
    answer = caption(of, language)
    return Task(kind="caption", request=request, answer=answer, judges=judges)


def question_tasks(of: Scene, modality: Modality, language: Language = "en") -> list[Task]:
    """The questions about a scene that a medium carries the answers to."""
    if modality in WITHOUT_WHERE and len(of.objects) > 1:
        return []
    return [
        Task(
            kind=asked.kind,
            request=asked.question,
            answer=asked.answer,
            judges={_column(asked): partial(answered_rightly, asked)},
        )
        for asked in questions(of, language)
        if asked.kind in CARRIED[modality] and topic(asked) in CARRIED[modality]
    ]


def examination(of: Scene, modality: Modality, language: Language = "en") -> list[Task]:
    """Everything that is asked about a scene."""
    return [caption_task(of, modality, language), *question_tasks(of, modality, language)]


def without_uncounted(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that an average is taken over."""
    return [task for task in tasks if task.kind not in UNCOUNTED]


def short_examination(of: Scene, modality: Modality) -> list[Task]:
    """A caption and one question, whose kind changes from scene to scene."""
    asked = without_uncounted(question_tasks(of, modality))
    return [caption_task(of, modality), *([asked[of.id % len(asked)]] if asked else [])]


def topic(asked: Question) -> Kind:
    """What a question is about; a yes/no question is about what it claims."""
    if asked.kind != "yes/no":
        return asked.kind
    for kind in ("colour", "place"):
        if named(asked.question, kind):
            return kind
    return "category"


def mark(tasks: Sequence[Sequence[Task]], texts: Sequence[Sequence[str]]) -> Floats:
    """Marks ``(scenes, columns)``: 1 right, 0 wrong, NaN not asked.

    Args:
        tasks: Of each scene.
        texts: What was answered to each of them.
    """
    marks = np.full((len(tasks), len(Column)), np.nan)
    for row, asked, said in zip(marks, tasks, texts, strict=True):
        for task, text in zip(asked, said, strict=True):
            for column, judge in task.judges.items():
                row[column] = judge(text)
    return marks


def chance(tasks: Sequence[Sequence[Task]], *, seed: int) -> Floats:
    """Marks of right answers to other scenes, drawn from all answers to tasks of the same kind."""
    rng = np.random.default_rng(seed)
    answers: dict[str, list[str]] = {}
    for asked in tasks:
        for task in asked:
            answers.setdefault(task.kind, []).append(task.answer)
    marks = np.full((CHANCE_DRAWS, len(tasks), len(Column)), np.nan)
    for sheet in marks:
        sheet[:] = mark(tasks, [[_drawn(answers[task.kind], rng) for task in of] for of in tasks])
    means: Floats = marks.mean(axis=0)
    return means


def weights_of(modality: Modality, what: Measure) -> Floats:
    """The weights of the columns in a measure of what a medium carries."""
    weights = np.zeros(len(Column))
    captions = [Column.CAPTION_CATEGORY]
    if "colour" in CARRIED[modality]:
        captions.append(Column.CAPTION_COLOUR)
    match what:
        case Measure.CAPTION_CATEGORY:
            weights[Column.CAPTION_CATEGORY] = 1
        case Measure.CAPTION_COLOUR:
            weights[Column.CAPTION_COLOUR] = 1
        case Measure.ANSWERS:
            kinds = CARRIED[modality] - UNCOUNTED
            for kind in kinds:
                columns = [Column.YES, Column.NO] if kind == "yes/no" else [COLUMN_OF[kind]]
                weights[columns] = 1 / (len(kinds) * len(columns))
        case Measure.ALL:
            weights[captions] = 1 / (2 * len(captions))
            weights += weights_of(modality, Measure.ANSWERS) / 2
    return weights


def _drawn(answers: Sequence[str], rng: np.random.Generator) -> str:
    return answers[int(rng.integers(len(answers)))]


def _column(asked: Question) -> Column:
    """Where the mark of a question goes."""
    if asked.kind == "yes/no":
        return Column.YES if "yes" in named(asked.answer, "yes/no") else Column.NO
    return COLUMN_OF[asked.kind]
