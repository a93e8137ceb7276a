"""The words around a question that the published weights were tuned on.

The template is Alpaca's (https://github.com/tatsu-lab/stanford_alpaca), verbatim: other words, or a
space more, make the published model worse. It is English also for questions in other languages. A
conversation repeats its last part; training writes and chatting reads it by :func:`format_turns`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

CAPTION = "Generate caption of this image"  # the instruction of stage 1

_TASK = "Below is an instruction that describes a task"
_DO = "Write a response that appropriately completes the request.\n\n"
_NEXT = "\n\n"  # between the end of an answer and the next instruction


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question of a conversation, and its answer."""

    question: str
    context: str | None = None  # text the question is about, where there is any
    answer: str | None = None  # None: the model is to give it


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a prompt that is all of one voice."""

    text: str
    answer: bool = False  # the model's words: it learns them, and its end token follows them


def format_prompt(instruction: str, context: str | None = None) -> str:
    """What the language model reads in front of its answer.

    Args:
        instruction: The question.
        context: Text the question is about, where there is any.
    """
    paired = ", paired with an input that provides further context" if context else ""
    return f"{_TASK}{paired}. {_DO}{_ask(instruction, context)}"


def format_turns(turns: Sequence[Turn]) -> list[Piece]:
    """A conversation as the language model reads it.

    Args:
        turns: In order, at least one. All but the last have answers; in training, the last too.

    Returns:
        For each turn a piece up to its answer, then, if it has one, its answer. A single turn
        without an answer is :func:`format_prompt`.
    """
    pieces: list[Piece] = []
    for number, turn in enumerate(turns):
        if number:
            pieces.append(Piece(text=_NEXT + _ask(turn.question, turn.context)))
        else:
            pieces.append(Piece(text=format_prompt(turn.question, turn.context)))
        if turn.answer is not None:
            pieces.append(Piece(text=turn.answer, answer=True))
    return pieces


def _ask(instruction: str, context: str | None) -> str:
    """The part of the template that every turn repeats."""
    given = f"\n\n### Input:\n{context}" if context else ""
    return f"### Instruction:\n{instruction}{given}\n\n### Response:"
