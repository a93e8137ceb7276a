"""Answers drawn together, against transformers' ``generate`` for each of them alone."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.llm.config import AdapterConfig, BindConfig, Generation
from anybind.llm.decoding import BLOCK, Asked, Decoder, Finish, Row
from anybind.llm.generation import generator_of, processors
from anybind.llm.network import Network

CPU = torch.device("cpu")
IN_DIM = 24  # of the joint space
VOCABULARY = 97
SETTINGS = [
    Generation(temperature=0),
    Generation(temperature=1, top_p=0.9, seed=5, repetition_penalty=1.3),
    Generation(temperature=0.5, top_p=1, seed=6),
    Generation(temperature=0, repetition_penalty=1.5),
    Generation(temperature=2, seed=2**70),
]


@dataclass(frozen=True)
class Question:
    """A prompt, and how it is to be answered."""

    asked: Asked
    settings: Generation
    room: int


@pytest.fixture(scope="module")
def network() -> Network:
    """Random; two heads share a value, LoRA is folded in, gates are open."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        initializer_range=0.3,
        eos_token_id=None,
    )
    llama = LlamaForCausalLM(config)
    bind = BindConfig(in_dim=IN_DIM, dim=32, hidden=16, n_blocks=1)
    found = Network(llama, AdapterConfig(bind=bind, n_layers=3, n_heads=4, lora_rank=2))
    for parameter in found.adapter().values():
        torch.nn.init.normal_(parameter, std=0.5)
    found.eval().requires_grad_(False)
    found.fold()
    return found


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """Twelve of different lengths; up to three vectors each, one of them of zeros."""
    random = torch.Generator().manual_seed(3)
    found: list[Question] = []
    for i in range(12):
        n, n_vectors = 3 + 5 * i, 1 + i % 3
        ids = torch.randint(3, VOCABULARY, (n,), generator=random).tolist()
        segments = [place * n_vectors // n for place in range(n)]
        vectors = torch.nn.functional.normalize(torch.randn(n_vectors, IN_DIM, generator=random))
        asked = Asked(ids=ids, segments=segments, vectors=vectors * (i != 6))
        found.append(Question(asked, SETTINGS[i % len(SETTINGS)], room=25 - 2 * i or 1))
    return found


def row_of(question: Question) -> Row:
    settings = question.settings
    return Row(question.asked, settings, room=question.room, seed=settings.seed, device=CPU)


def by_transformers(llama: LlamaForCausalLM, question: Question) -> list[int]:
    """The answer that ``generate`` gives."""
    settings = question.settings
    # its declared type asks for attributes that no LLaMA has
    generate: Callable[..., Tensor] = getattr(llama, "generate")  # noqa: B009
    with torch.inference_mode():
        out = generate(
            input_ids=torch.tensor([question.asked.ids]),
            max_new_tokens=question.room,
            do_sample=False,
            pad_token_id=0,
            logits_processor=processors(settings, [generator_of(settings.seed, CPU)]),
        )
    found: list[int] = out[0, len(question.asked.ids) :].tolist()
    return found


def alone(network: Network, question: Question) -> list[int]:
    """As :func:`by_transformers`, with the vectors in view."""
    asked = question.asked
    segments = torch.tensor([asked.segments]) if len(asked.vectors) > 1 else None
    with torch.inference_mode(), network.seeing(asked.vectors[None], segments):
        return by_transformers(network.llama, question)


def run(decoder: Decoder, rows: list[Row], *, at_once: int, n_read: int | None) -> None:
    """Rows come two by two while others run, and leave when they end."""
    waiting = list(rows)
    while waiting or decoder.reading or decoder.running:
        if waiting and not decoder.reading and len(decoder.running) < at_once:
            decoder.begin([waiting.pop(0) for _ in range(min(2, len(waiting)))])
        decoder.read(n_read)
        decoder.step()


@pytest.mark.parametrize("n_read", [None, 9])
def test_answers_that_come_and_go_are_those_of_transformers(
    network: Network, questions: list[Question], n_read: int | None
) -> None:
    """Prompts whole and in parts of nine tokens; greedy and with equal seeds, token by token."""
    rows = [row_of(question) for question in questions]
    run(Decoder(network.llama, network, ()), rows, at_once=5, n_read=n_read)
    assert [row.answer for row in rows] == [alone(network, question) for question in questions]
    assert all(row.finish is Finish.LENGTH for row in rows)


def test_without_an_adapter_answers_are_those_of_the_plain_llama(
    questions: list[Question],
) -> None:
    """The reference is transformers' ``generate`` on a model that nothing is attached to."""
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=VOCABULARY,
        initializer_range=0.5,
        eos_token_id=None,
    )
    llama = LlamaForCausalLM(config).requires_grad_(False)
    rows = [row_of(question) for question in questions[:5]]
    run(Decoder(llama, None, ()), rows, at_once=3, n_read=None)
    assert [row.answer for row in rows] == [by_transformers(llama, q) for q in questions[:5]]


def test_an_answer_longer_than_the_cache_began_is_that_of_transformers(
    network: Network, questions: list[Question]
) -> None:
    """The cache grows once while the answer is drawn, with another row in it."""
    long = Question(questions[3].asked, Generation(temperature=0), room=BLOCK + 10)
    rows = [row_of(question) for question in (questions[1], long)]
    run(Decoder(network.llama, network, ()), rows, at_once=2, n_read=None)
    assert rows[1].answer == alone(network, long)


def test_a_token_that_ends_answers_ends_one_and_stays_out(
    network: Network, questions: list[Question]
) -> None:
    """The reference is the answer without an end, cut where the token is."""
    whole = alone(network, questions[0])
    end = whole[5]
    rows = [row_of(questions[0]), row_of(questions[5])]
    run(Decoder(network.llama, network, [end]), rows, at_once=2, n_read=None)
    assert rows[0].answer == whole[: whole.index(end)]
    assert rows[0].finish is Finish.STOP


def test_what_a_vector_injects_is_computed_once_an_answer(
    network: Network, questions: list[Question]
) -> None:
    """Calls of the bind network are counted: one for prompts read together, none for steps."""
    calls: list[int] = []

    def seen(_module: torch.nn.Module, inputs: tuple[Tensor], _output: object) -> None:
        calls.append(len(inputs[0]))

    hook = network.bind.register_forward_hook(seen)
    try:
        rows = [row_of(question) for question in questions[:6]]
        run(Decoder(network.llama, network, ()), rows, at_once=3, n_read=4)
    finally:
        hook.remove()
    assert calls == [2, 2, 2]


def test_a_row_that_broke_does_not_touch_the_next_one_in_its_place(
    network: Network, questions: list[Question]
) -> None:
    """A vector that overflows leaves numbers that are not finite in the cache; the reference is
    the next answer alone, in a row beside a longer one."""
    broken = Asked(ids=[5] * 50, segments=[0] * 50, vectors=torch.full((1, IN_DIM), torch.inf))
    decoder = Decoder(network.llama, network, ())
    rows = [row_of(questions[4]), row_of(Question(broken, Generation(temperature=0), room=2))]
    rows += [row_of(questions[0]), row_of(questions[1])]
    long = row_of(Question(questions[11].asked, Generation(temperature=0), room=40))
    decoder.begin([long, *rows[:2]])
    decoder.read()
    while rows[1].finish is None:
        decoder.step()
    decoder.begin(rows[2:])
    decoder.read()
    while decoder.running:
        decoder.step()
    for row, question in zip((rows[0], *rows[2:]), (4, 0, 1), strict=True):
        assert row.answer == alone(network, questions[question])
