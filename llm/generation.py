"""How the next token of an answer is drawn, and how tokens become text.

Sampling adds Gumbel noise to the logits and takes the largest, which draws from their softmax
(https://arxiv.org/abs/1411.1725, sec. 2.1). The noise comes from a generator of each row's own, so
a seed gives the same answer whatever else is in the batch or goes on in other threads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from .config import Generation

SEEDS = 2**63  # torch takes seeds below this
UNFINISHED = "\ufffd"  # what decoding gives for a character of which bytes are missing


class _Noise(LogitsProcessor):
    """Adds Gumbel noise, row by row from generators of their own."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``(B, vocabulary)`` logits to the same with noise; excluded tokens stay excluded."""
        scores = scores.float()
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log()  # minus the log of an exponential is Gumbel


def generator_of(seed: int | None, device: torch.device) -> torch.Generator:
    """Random numbers of one answer; ``None`` draws a new seed."""
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % SEEDS)
    return generator


def processors(settings: Generation, generators: Sequence[torch.Generator]) -> LogitsProcessorList:
    """What is done to the logits before the largest is taken.

    Args:
        settings: Their order is: repetition penalty, temperature, top-p, noise.
        generators: One a row of the batch, where the logits are.
    """
    found = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(float(settings.repetition_penalty)))
    if settings.temperature > 0:
        found.append(TemperatureLogitsWarper(float(settings.temperature)))
        if settings.top_p < 1:
            found.append(TopPLogitsWarper(float(settings.top_p)))
        found.append(_Noise(generators))
    return found


def draw(
    logits: Tensor,
    settings: Sequence[Generation],
    generators: Sequence[torch.Generator],
    ids: Sequence[Sequence[int]],
) -> list[int]:
    """The next token of each row.

    Args:
        logits: ``(rows, vocabulary)``.
        settings: How each is drawn; rows with like settings are drawn together.
        generators: One a row.
        ids: What each row has so far, which the repetition penalty looks at.
    """
    alike: dict[tuple[float, float, float], list[int]] = {}
    for row, how in enumerate(settings):
        alike.setdefault((how.temperature, how.top_p, how.repetition_penalty), []).append(row)
    found = [0] * len(settings)
    for rows in alike.values():
        how = settings[rows[0]]
        scores = (logits if len(alike) == 1 else logits[rows]).float()
        seen = torch.empty(len(rows), 0, dtype=torch.int64, device=logits.device)
        if how.repetition_penalty != 1:
            width = max(len(ids[row]) for row in rows)  # padded with a token that is there anyway
            padded = [[*ids[row], *[ids[row][-1]] * (width - len(ids[row]))] for row in rows]
            seen = torch.tensor(padded, device=logits.device)
        for process in processors(how, [generators[row] for row in rows]):
            scores = process(seen, scores)
        for row, id in zip(rows, scores.argmax(-1).tolist(), strict=True):
            found[row] = id
    return found


class Pieces:
    """Text as its tokens come, without space around the whole.

    Nothing is said that ends inside a character, which may take several tokens. Space waits for
    what follows it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._said = ""

    def add(self, token: int) -> str:
        """What can be said now that could not be said before; often nothing."""
        self._ids.append(token)
        text = self._decode(self._ids).lstrip()
        return "" if text.endswith(UNFINISHED) else self._rest(text.rstrip())

    def end(self) -> str:
        """What is left to say when no token follows."""
        return self._rest(self._decode(self._ids).strip())

    def _rest(self, text: str) -> str:
        new = text[len(self._said) :]
        if new:
            self._said = text
        return new


def pieces_of(tokens: Iterable[int], decode: Callable[[Sequence[int]], str]) -> Iterator[str]:
    """:class:`Pieces` of a whole answer; none is empty."""
    pieces = Pieces(decode)
    for token in tokens:
        if piece := pieces.add(token):
            yield piece
    if piece := pieces.end():
        yield piece
