"""LLaMA 3 and its successors in Meta's layout, against the same weights in Hugging Face's."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.errors import WeightsError
from anybind.llm.base import load_base
from anybind.llm.layouts import from_meta

from .llm_folders import write_tokenizer

VOCABULARY = 96
PARAMS: dict[str, Any] = {  # as Meta's params.json of LLaMA 3, small
    "dim": 64,
    "n_layers": 2,
    "n_heads": 8,
    "n_kv_heads": 2,
    "vocab_size": VOCABULARY,
    "multiple_of": 32,
    "ffn_dim_multiplier": 1.3,
    "norm_eps": 1e-05,
    "rope_theta": 500000.0,
}
HIDDEN = 224  # 1.3 * 8/3 * 64, rounded up to a multiple of 32
LLAMA_3 = {"rope_type": "default", "rope_theta": 500000.0}
LLAMA_3_1 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA_3_2 = LLAMA_3_1 | {"factor": 32.0}
HEADS = {"wq": 8, "wk": 2}  # whose rows Meta keeps in another order


def formula(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers between -0.5 and 0.5 that follow from a name; norms are near 1."""
    n = math.prod(shape)
    numbers = torch.sin(torch.arange(n, dtype=torch.float64) * 0.37 + 11 * len(name) + ord(name[7]))
    return (numbers * 0.5 + (len(shape) == 1)).float().reshape(shape)


def interleaved(rows: Tensor, n_heads: int) -> Tensor:
    """Rows of a head from the order of transformers, halves, to Meta's, pairs."""
    halves = rows.reshape(n_heads, 2, -1, rows.shape[1])
    return halves.transpose(1, 2).reshape(rows.shape)


def write_meta(folder: Path, params: dict[str, Any], *, tied: bool, twice: bool = True) -> Path:
    """A folder in Meta's layout; ``twice``: tied weights are in the file twice."""
    dim, width = params["dim"], params["dim"] // params["n_heads"] * params["n_kv_heads"]
    shapes = {"tok_embeddings": (VOCABULARY, dim), "norm": (dim,), "output": (VOCABULARY, dim)}
    for i in range(params["n_layers"]):
        of = {"wq": (dim, dim), "wk": (width, dim), "wv": (width, dim), "wo": (dim, dim)}
        shapes |= {f"layers.{i}.attention.{name}": shape for name, shape in of.items()}
        of = {"w1": (HIDDEN, dim), "w2": (dim, HIDDEN), "w3": (HIDDEN, dim)}
        shapes |= {f"layers.{i}.feed_forward.{name}": shape for name, shape in of.items()}
        shapes |= {f"layers.{i}.{name}_norm": (dim,) for name in ("attention", "ffn")}
    state: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        ours = from_meta(f"{name}.weight")
        assert ours is not None
        tensor = formula(ours.name, shape)
        n_heads = HEADS.get(name.rpartition(".")[2])
        state[f"{name}.weight"] = tensor if n_heads is None else interleaved(tensor, n_heads)
    if tied:
        state["output.weight"] = state["tok_embeddings.weight"].clone()
        if not twice:
            del state["output.weight"]
    folder.mkdir()
    write_tokenizer(folder, VOCABULARY)
    (folder / "params.json").write_text(json.dumps(params))
    torch.save(state, folder / "consolidated.00.pth")
    return folder


def write_hugging_face(folder: Path, rotation: dict[str, Any], *, tied: bool) -> Path:
    """The same numbers under the names and in the order of transformers."""
    config = LlamaConfig(
        hidden_size=PARAMS["dim"],
        num_hidden_layers=PARAMS["n_layers"],
        num_attention_heads=PARAMS["n_heads"],
        num_key_value_heads=PARAMS["n_kv_heads"],
        intermediate_size=HIDDEN,
        vocab_size=VOCABULARY,
        rms_norm_eps=PARAMS["norm_eps"],
        rope_parameters=rotation,
        max_position_embeddings=8192,
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        names = LlamaForCausalLM(config).state_dict()
    state = {name: formula(name, tuple(t.shape)) for name, t in names.items()}
    if tied:
        del state["lm_head.weight"]
    folder.mkdir()
    write_tokenizer(folder, VOCABULARY)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("more", "rotation", "tied", "context"),
    [
        ({}, LLAMA_3, False, 8192),
        ({"use_scaled_rope": True}, LLAMA_3_1, False, 131_072),
        ({"use_scaled_rope": True}, LLAMA_3_2, True, 131_072),
        ({"use_scaled_rope": True, "rope_scaling_factor": 4.0}, LLAMA_3_1 | {"factor": 4.0}, False)
        + (131_072,),
    ],
    ids=["3", "3.1", "3.2", "said"],
)
def test_metas_llama_3_is_that_of_transformers(
    more: dict[str, Any], rotation: dict[str, Any], tied: bool, context: int, tmp_path: Path
) -> None:
    """The reference is transformers' own model of the same weights; positions far beyond each
    other show the rotation."""
    meta = load_base(write_meta(tmp_path / "meta", PARAMS | more, tied=tied), device="cpu")
    folder = write_hugging_face(tmp_path / "hf", rotation, tied=tied)
    expected = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.arange(40)[None] * 7 % VOCABULARY
    positions = torch.arange(40)[None] ** 2 * 5
    with torch.inference_mode():
        found = meta.llama(input_ids=tokens, position_ids=positions).logits
        wanted = expected(input_ids=tokens, position_ids=positions).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert meta.fingerprint == load_base(folder, device="cpu").fingerprint
    assert meta.context == context and (meta.bos, meta.eos) == (1, (2,))


def test_the_rotation_is_stretched_as_in_metas_code(tmp_path: Path) -> None:
    """By the rule of apply_scaling: short waves stay, long ones are 8 times as long, and those
    between are in between."""
    base = load_base(write_meta(tmp_path / "m", PARAMS | {"use_scaled_rope": True}, tied=False))
    expected = []
    for i in range(4):
        frequency = 500000.0 ** (-2 * i / 8)
        turns = 8192 * frequency / (2 * math.pi)  # in the context that it was first trained with
        smooth = min(max((turns - 1) / (4 - 1), 0), 1)
        expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
    rotation = base.llama.model.rotary_emb.get_buffer("inv_freq")
    torch.testing.assert_close(rotation, torch.tensor(expected), rtol=1e-6, atol=0)


def test_a_tied_output_may_be_left_out(tmp_path: Path) -> None:
    """The reference is the file that holds it twice."""
    params = PARAMS | {"use_scaled_rope": True}
    twice = load_base(write_meta(tmp_path / "twice", params, tied=True))
    once = load_base(write_meta(tmp_path / "once", params, tied=True, twice=False))
    assert once.fingerprint == twice.fingerprint
    assert torch.equal(once.llama.lm_head.weight, twice.llama.lm_head.weight)


def test_heads_that_do_not_fit_the_weights_are_refused(tmp_path: Path) -> None:
    """Eight values, by the file, where the weights have two that four heads share each."""
    folder = write_meta(tmp_path / "meta", PARAMS, tied=False)
    (folder / "params.json").write_text(json.dumps(PARAMS | {"n_kv_heads": 8}))
    with pytest.raises(WeightsError, match="k_proj.weight is 16x64, not 64x64"):
        load_base(folder)
