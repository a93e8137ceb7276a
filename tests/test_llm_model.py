"""Answers: what is injected where, batches, seeds, streams, and prompts that cannot be answered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.errors import UsageError
from anybind.llm.config import AdapterConfig, BindConfig, Generation
from anybind.llm.generation import pieces_of
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.network import Network

from .llm_folders import LLM, words, write_adapter, write_base
from .parity import Floats, fill

DIM = 40  # of the joint space


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("llm")
    write_base(folder / "hf", "hf")
    write_adapter(folder / "7B.pth", "finetune")
    return load_language_model(folder / "hf", folder / "7B.pth")


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    """Five, of five lengths."""
    return [words(LLM.meta["prompts"][name]) for name in ("18", "0", "6", "7", "2")]


@pytest.fixture(scope="module")
def vectors() -> Floats:
    found: Floats = fill.unit_rows(3, "v", (5, DIM))
    return found


DRAWN = Generation(max_tokens=12, temperature=1.0, top_p=0.9, repetition_penalty=1.3, seed=7)


def test_values_are_injected_per_head_where_heads_share_them() -> None:
    """The formula written out, for four heads on two shared values: the logits of one layer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=11,
    )
    llama = LlamaForCausalLM(config)
    bind = BindConfig(in_dim=6, dim=16, hidden=8, n_blocks=1)
    network = Network(llama, AdapterConfig(bind=bind, n_layers=1, n_heads=4, lora_rank=0))
    torch.nn.init.normal_(network.injection.gates[0])
    layer, vector = "model.layers.0.self_attn", torch.randn(1, 6)
    mixed: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, inputs: tuple[torch.Tensor], _output: object) -> None:
        mixed.append(inputs[0])

    llama.get_submodule(f"{layer}.o_proj").register_forward_hook(keep)
    tokens = torch.tensor([[1, 5, 3]])
    with torch.no_grad():
        llama(input_ids=tokens)
        with network.seeing(vector):
            llama(input_ids=tokens)
        visual = network.bind(vector)[0] + network.injection.queries[0]
        values = (llama.state_dict()[f"{layer}.v_proj.weight"] @ visual).view(
            2, 4
        )  # (shared values, head_dim)
        gates = network.injection.gates[0].tanh()
        expected = torch.cat([gates[head] * values[head // 2] for head in range(4)])
    torch.testing.assert_close(mixed[1] - mixed[0], expected.expand(1, 3, 16), rtol=0, atol=1e-6)


def test_a_batch_gives_the_answers_of_its_prompts_alone(
    model: LanguageModel, prompts: list[str], vectors: Floats
) -> None:
    """Drawn with penalty and noise; row ``i`` draws with seed 7 + i, in batches of any size."""
    alone = []
    for i, prompt in enumerate(prompts):
        settings = replace(DRAWN, seed=7 + i)
        alone += model.generate([prompt], vectors[i : i + 1], settings)
    assert model.generate(prompts, vectors, DRAWN) == alone
    assert model.generate(prompts, vectors, DRAWN, batch_size=2) == alone
    assert len(set(alone)) == 5


def test_a_stream_says_what_the_whole_answer_says(
    model: LanguageModel, prompts: list[str], vectors: Floats
) -> None:
    """The reference is the same draw at once."""
    (answer,) = model.generate(prompts[:1], vectors[:1], DRAWN)
    pieces = list(model.stream(prompts[0], vectors[0], DRAWN))
    assert "".join(pieces) == answer and len(pieces) > 1


def test_pieces_of_an_answer_never_end_inside_a_character() -> None:
    """A byte a token, three bytes a Chinese character; space at either end is dropped."""
    said = list(pieces_of(" 一只 狗. ".encode(), lambda ids: bytes(ids).decode(errors="replace")))
    assert said == ["一", "只", " 狗", "."]


def test_answers_are_likelier_where_probabilities_say_so(model: LanguageModel) -> None:
    """400 draws of one token against the probabilities they are drawn from."""
    prompt, settings = words([5, 9]), Generation(max_tokens=1, temperature=1, top_p=1, seed=0)
    tokens = torch.tensor([[1, 5, 9]])
    assert model.network is not None
    with torch.inference_mode(), model.network.seeing(torch.zeros(1, DIM)):
        p = model.base.llama(input_ids=tokens).logits[0, -1].softmax(-1)
    answers = model.generate([prompt] * 400, None, settings, batch_size=400)
    likeliest = int(p.argmax())
    share = answers.count(f"w{likeliest}") / 400
    assert abs(share - float(p[likeliest])) < 4 * float((p[likeliest] / 400).sqrt())


def test_a_vector_a_piece_with_all_the_same_is_one_vector(
    model: LanguageModel, vectors: Floats
) -> None:
    """A conversation about one medium is the published model, beside a prompt in one piece."""
    pieces, settings = ["w5 w9 w17", "w33", "w50 w61"], Generation(temperature=0, max_tokens=8)
    whole = model.generate(["w5 w9 w17 w33 w50 w61"], vectors[:1], settings)
    found = model.generate([pieces, "w8"], [np.repeat(vectors[:1], 3, 0), vectors[1]], settings)
    assert found == [*whole, *model.generate(["w8"], vectors[1:2], settings)]


def test_a_new_medium_counts_from_its_piece_on(model: LanguageModel, vectors: Floats) -> None:
    """Before it, logits are those of the first vector alone; one layer later they differ."""
    assert model.network is not None
    tokens = torch.tensor([[1, 5, 9, 33, 50]])
    shown = torch.from_numpy(vectors[:2])
    with torch.inference_mode():
        with model.network.seeing(shown[None], torch.tensor([[0, 0, 0, 1, 1]])):
            both = model.base.llama(input_ids=tokens).logits
        with model.network.seeing(shown[:1]):
            first = model.base.llama(input_ids=tokens).logits
    torch.testing.assert_close(both[:, :3], first[:, :3], rtol=0, atol=1e-5)
    assert float((both[:, 3:] - first[:, 3:]).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ("w5 " * 1023, "has 1024 tokens .* at most 1024 together"),
        ("x" * 100_000, "has 100000 characters"),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(
    model: LanguageModel, prompt: str, message: str
) -> None:
    """The context of the fixture's base is 1024 tokens, the opening one included."""
    with pytest.raises(UsageError, match=message):
        model.generate([prompt])
    with pytest.raises(UsageError, match=message):
        model.stream(prompt)


def test_an_answer_ends_where_the_context_is_full(model: LanguageModel) -> None:
    """1021 tokens and the opening one leave room for two."""
    settings = Generation(temperature=0, max_tokens=50)
    (answer,) = model.generate(["w5 " * 1021], None, settings)
    assert len(answer.split()) <= 2


def test_vectors_that_do_not_fit_are_refused(model: LanguageModel, tmp_path: Path) -> None:
    """Too few, too short, not finite; and any at all where there is no adapter."""
    with pytest.raises(UsageError, match="1 vectors for 2 prompts"):
        model.generate(["w5", "w6"], torch.zeros(1, DIM))
    with pytest.raises(UsageError, match="where 1 of 40 numbers are meant"):
        model.generate(["w5"], torch.zeros(1, 39))
    with pytest.raises(UsageError, match="not finite"):
        model.generate(["w5"], torch.full((1, DIM), float("nan")))
    plain = load_language_model(write_base(tmp_path / "hf", "hf"))
    with pytest.raises(UsageError, match="has no adapter"):
        plain.generate(["w5"], torch.zeros(1, DIM))
