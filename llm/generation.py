"""Answers, drawn token by token with transformers' ``generate``.

Sampling adds Gumbel noise to the logits and takes the largest, which draws from their softmax
(https://arxiv.org/abs/1411.1725, sec. 2.1). The noise comes from a generator of each row's own, so
a seed gives the same answer whatever else is in the batch or goes on in other threads.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor
from transformers import (
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.streamers import BaseStreamer

from .config import Generation

SEEDS = 2**63  # torch takes seeds below this
UNFINISHED = "\ufffd"  # what decoding gives for a character of which bytes are missing


class _Noise(LogitsProcessor):
    """Adds Gumbel noise, row by row from generators of their own."""

    def __init__(self, seeds: Sequence[int | None], device: torch.device) -> None:
        self._generators = [torch.Generator(device) for _ in seeds]
        for generator, seed in zip(self._generators, seeds, strict=True):
            if seed is None:
                generator.seed()
            else:
                generator.manual_seed(seed % SEEDS)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``(B, vocabulary)`` logits to the same with noise; excluded tokens stay excluded."""
        scores = scores.float()
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log()  # minus the log of an exponential is Gumbel


def processors(
    settings: Generation, seeds: Sequence[int | None], device: torch.device
) -> LogitsProcessorList:
    """What is done to the logits before the largest is taken.

    Args:
        settings: Their order is: repetition penalty, temperature, top-p, noise.
        seeds: One a row of the batch; ``None`` draws a new one.
        device: Where the logits are.
    """
    found = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(float(settings.repetition_penalty)))
    if settings.temperature > 0:
        found.append(TemperatureLogitsWarper(float(settings.temperature)))
        if settings.top_p < 1:
            found.append(TopPLogitsWarper(float(settings.top_p)))
        found.append(_Noise(seeds, device))
    return found


def answers(
    llama: LlamaForCausalLM,
    prompts: Sequence[Sequence[int]],
    settings: Generation,
    *,
    eos: Sequence[int],
    n_new: int,
    seeds: Sequence[int | None],
    stop: StoppingCriteria | None = None,
    streamer: BaseStreamer | None = None,
) -> list[list[int]]:
    """Continue prompts of any lengths; each ends at its own end token.

    Args:
        llama: Inside :meth:`.network.Network.seeing`, if it is to see.
        prompts: Token ids, at least one each.
        settings: How to draw.
        eos: Ids that end an answer.
        n_new: Tokens of an answer at most.
        seeds: One a prompt; ``None`` draws a new one.
        stop: Asked after every token.
        streamer: Given every token.

    Returns:
        The tokens after each prompt, without the one that ended it.
    """
    width = max(map(len, prompts))
    tokens = torch.empty(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):  # padded on the left, so that answers begin together
        pad = width - len(prompt)
        tokens[row, :pad] = prompt[0]  # a token of its own: the repetition penalty sees padding
        tokens[row, pad:] = torch.tensor(prompt)
        mask[row, pad:] = 1
    # its declared type asks for attributes that no LLaMA has
    generate: Callable[..., Tensor] = getattr(llama, "generate")  # noqa: B009
    out = generate(
        input_ids=tokens.to(llama.device),
        attention_mask=mask.to(llama.device),
        max_new_tokens=n_new,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=list(eos) or None,
        pad_token_id=eos[0] if eos else 0,  # behind an answer that ended
        logits_processor=processors(settings, seeds, llama.device),
        stopping_criteria=StoppingCriteriaList([] if stop is None else [stop]),
        streamer=streamer,
    )
    ends = frozenset(eos)
    found: list[list[int]] = []
    for row in out[:, width:].tolist():
        end = next((i for i, id in enumerate(row) if id in ends), len(row))
        found.append(row[:end])
    return found


def iter_answer(
    produce: Callable[[StoppingCriteria, BaseStreamer], object],
) -> Generator[int, None, None]:
    """The tokens of an answer as they come, from a thread that ends when nobody listens.

    Args:
        produce: Calls :func:`answers` for one prompt with what it is given.

    Raises:
        Exception: Whatever ``produce`` raised.
    """
    channel = _Channel()

    def work() -> None:
        try:
            produce(channel.stop, channel)
            channel.put_end(None)
        except BaseException as error:
            channel.put_end(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield from channel
    finally:
        channel.stop.asked.set()
        worker.join()


def pieces_of(tokens: Iterable[int], decode: Callable[[Sequence[int]], str]) -> Iterator[str]:
    """Text as its tokens come, without space around the whole.

    A piece is never empty and never ends inside a character, which may take several tokens. Space
    waits for what follows it.
    """
    ids: list[int] = []
    said = ""
    for token in tokens:
        ids.append(token)
        text = decode(ids).lstrip()
        if text.endswith(UNFINISHED):
            continue
        text = text.rstrip()
        if len(text) > len(said):
            yield text[len(said) :]
            said = text
    text = decode(ids).strip()
    if len(text) > len(said):
        yield text[len(said) :]


class _Stop(StoppingCriteria):
    """Ends every row once asked to."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(
        self, input_ids: Tensor, scores: tuple[Tensor] | None, **kwargs: object
    ) -> torch.BoolTensor:
        asked = torch.full((len(input_ids),), self.asked.is_set(), device=input_ids.device)
        return cast(torch.BoolTensor, asked)


class _Channel(BaseStreamer):
    """Tokens from the thread that draws them to the one that reads them."""

    def __init__(self) -> None:
        self.stop = _Stop()
        self._queue: queue.SimpleQueue[int | _End] = queue.SimpleQueue()
        self._prompt_passed = False

    def put(self, value: Tensor) -> None:
        """Called with the prompt first, and then with each token."""
        if self._prompt_passed:
            for token in value.flatten().tolist():
                self._queue.put(token)
        self._prompt_passed = True

    def end(self) -> None:
        """The last token was put; the end itself comes from the thread, with its error if any."""

    def put_end(self, error: BaseException | None) -> None:
        self._queue.put(_End(error))

    def __iter__(self) -> Iterator[int]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
