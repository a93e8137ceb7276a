"""A base in int8: matrices against the rule written out, answers against those in fp32."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import anybind
from anybind.encoders.modality import Modality
from anybind.errors import AnyBindError, UsageError, WeightsError
from anybind.llm import base
from anybind.llm.config import Generation, Phase
from anybind.llm.int8 import Int8Linear, in_int8, is_in_int8
from anybind.llm.lora import LoRALinear, bare, linears
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.presets import Task
from anybind.llm.prompt import CAPTION, format_prompt
from anybind.llm.training import Settings
from anybind.world.dialogues import names_category
from anybind.world.media import medium
from anybind.world.scene import scene
from anybind.world.splits import split_ids

from .llm_folders import LLM, write_adapter, write_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("llm")
    for layout in ("meta", "hf"):
        write_base(found / layout, layout)
    write_adapter(found / "7B.pth", "finetune")
    return found


def logits(model: LanguageModel) -> Tensor:
    """After a prompt, seeing something."""
    assert model.network is not None
    seen = torch.from_numpy(LLM.arrays["mix/image/q"])
    with torch.inference_mode(), model.network.seeing(seen):
        out: Tensor = model.base.llama(input_ids=torch.tensor([LLM.meta["prompts"]["2"]])).logits
    return out


def test_a_row_is_steps_of_its_largest_number() -> None:
    """By hand: 127 steps of 0.02, and of 10; zeros stay zeros."""
    matrix = torch.tensor([[2.54, -0.02, 0.031], [0.0, 0.0, 0.0], [-1270.0, 14.0, 16.0]])
    steps, scale = in_int8(matrix)
    assert steps.dtype is torch.int8
    assert steps.tolist() == [[127, -1, 2], [0, 0, 0], [-127, 1, 2]]
    np.testing.assert_allclose(scale, [0.02, 1, 10], rtol=1e-6)


@pytest.mark.parametrize("layout", ["meta", "hf"])
def test_answers_are_those_of_the_matrices_that_int8_stands_for(folder: Path, layout: str) -> None:
    """The reference is the model in fp32 whose matrices were brought to the same steps; the base is
    known by its own numbers, so its adapter fits."""
    model = load_language_model(folder / layout, folder / "7B.pth", precision="int8", device="cpu")
    whole = load_language_model(folder / "hf", folder / "7B.pth", fold=False, device="cpu")
    before = logits(whole)
    for parent, name in linears(whole.base.llama):
        layer = getattr(parent, name)
        assert isinstance(layer, LoRALinear)
        weight = layer.base.weight
        assert isinstance(weight, Tensor)
        scale = weight.abs().amax(dim=1, keepdim=True) / 127
        weight.data = (weight / scale).round() * scale
    torch.testing.assert_close(logits(model), logits(whole), rtol=0, atol=1e-4)
    assert 1e-3 < float((before - logits(whole)).abs().max()) < 0.5
    assert model.base.fingerprint == whole.base.fingerprint


def test_lora_stays_beside_and_what_is_injected_goes_without_it(folder: Path) -> None:
    """Although folding is asked for; by hand, the bare value is steps times scale."""
    model = load_language_model(folder / "hf", folder / "7B.pth", precision="int8", device="cpu")
    layer = model.base.llama.model.layers[0].get_submodule("self_attn.v_proj")
    assert isinstance(layer, LoRALinear) and isinstance(layer.base, Int8Linear)
    assert float(layer.up.abs().max()) > 0
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    expected = x @ (layer.base.weight.float() * layer.base.scale[:, None]).T
    torch.testing.assert_close(bare(layer, x), expected, rtol=0, atol=1e-5)


def test_memory_is_counted_as_it_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the shapes: a byte a number of the blocks' matrices, four of all else and of scales."""
    matrices = [
        shape for name, (shape, _) in LLM.meta["hf_state"].items() if name.endswith("_proj.weight")
    ]
    every = [shape for shape, _ in LLM.meta["hf_state"].values()]
    n_packed, n_all = (sum(map(math.prod, shapes)) for shapes in (matrices, every))
    n_scales = sum(shape[0] for shape in matrices)
    llama = load_language_model(folder / "hf", precision="int8", device="cpu").base.llama
    tensors = [*llama.parameters(), *(b for n, b in llama.named_buffers() if "_proj." in n)]
    taken = sum(t.numel() * t.element_size() for t in tensors)
    assert taken == n_packed + 4 * (n_all - n_packed + n_scales)
    monkeypatch.setattr(base, "GB", 1)
    monkeypatch.setattr(base, "_memory_of", lambda device: taken - 1)
    with pytest.raises(AnyBindError, match=f"need {taken}.0 GB in int8 on cpu.* a smaller model"):
        load_language_model(folder / "hf", precision="int8", device="cpu")


def test_the_language_model_alone_may_be_in_int8() -> None:
    """The encoder keeps its own precision; the facts of unseen scenes are the reference."""
    ab = anybind.load(None, device="cpu", lm_precision="int8")
    model = ab.language_models.get(Task.ASK, ab.encoder)
    assert is_in_int8(model.base.llama) and ab.encoder.dtype is torch.float32
    scenes = [scene(i) for i in split_ids("validation", 12)]
    pictures = [medium(Modality.IMAGE, of, 96) for of in scenes]
    seen = ab.encoder.encode(Modality.IMAGE, pictures)
    settings = Generation(temperature=0, max_tokens=48)
    said = model.generate([format_prompt(CAPTION)] * len(scenes), seen, settings)
    assert sum(names_category(of, text) for of, text in zip(scenes, said, strict=True)) >= 9


def test_what_cannot_be_in_int8_is_said(folder: Path, tmp_path: Path) -> None:
    """Training, and weights that somebody else quantised."""
    with pytest.raises(UsageError, match="int8 is for answers"):
        Settings(phase=Phase.PRETRAIN, precision="int8")
    other = write_base(tmp_path / "other", "hf")
    config = json.loads((other / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="quantised before"):
        load_language_model(other)
