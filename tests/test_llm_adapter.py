"""Bases and adapters on disk: every published form, and what does not belong together."""

import errno
import json
import logging
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor

from anybind.errors import AnyBindError, UsageError, WeightsError
from anybind.llm import base, lora
from anybind.llm.adapter import open_adapter, save_adapter
from anybind.llm.base import load_base
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.network import Network
from anybind.llm.tensors import TensorFile, open_tensors

from .llm_folders import LLM, write_adapter, write_base, write_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("llm")
    for layout in ("meta", "parts", "hf"):
        write_base(found / layout, layout)
    write_adapter(found / "7B.pth", "finetune")
    return found


def parameters(model: LanguageModel) -> dict[str, Tensor]:
    assert model.network is not None
    return {name: p.detach() for name, p in model.network.named_parameters()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_every_layout_of_a_base_gives_the_same_network(folder: Path) -> None:
    """One file or two in Meta's names, and Hugging Face's: the same numbers, and fingerprint."""
    expected = load_base(folder / "meta")
    for layout in ("parts", "hf"):
        found = load_base(folder / layout)
        assert_same(found.llama.state_dict(), expected.llama.state_dict())
        assert found.fingerprint == expected.fingerprint
        assert (found.bos, found.eos) == (expected.bos, expected.eos) == (1, (2,))


def test_a_fingerprint_outlives_precision_and_tells_another_base(
    folder: Path, tmp_path: Path
) -> None:
    """Numbers that fp32 holds are the same in a file of fp32; one other number is another base."""
    expected = load_base(folder / "hf").fingerprint
    assert load_base(folder / "hf", precision="bf16").fingerprint == expected
    other = write_base(tmp_path / "other", "hf")
    state = load_file(other / "model.safetensors")
    state["model.layers.2.mlp.up_proj.weight"][0, 0] += 1
    save_file(state, other / "model.safetensors")
    assert load_base(other).fingerprint != expected


def test_a_training_checkpoint_gives_the_adapter_in_it(folder: Path, tmp_path: Path) -> None:
    """It also holds base, encoder, optimizer and an ``argparse.Namespace``; `llma` is a misprint
    in files of stage 1."""
    path = write_adapter(tmp_path / "checkpoint-3.pth", "finetune", checkpoint=True)
    content = torch.load(path, weights_only=False)
    content["model"] = {k.replace("llama.", "llma."): v for k, v in content["model"].items()}
    torch.save(content, path)
    found = load_language_model(folder / "meta", path)
    assert_same(
        parameters(found), parameters(load_language_model(folder / "meta", folder / "7B.pth"))
    )


class Surprise:
    """A class that no checkpoint needs."""


def test_other_classes_in_a_checkpoint_are_never_made(folder: Path, tmp_path: Path) -> None:
    """Pickles can run anything; only Namespace is let through."""
    torch.save({"model": {}, "args": Surprise()}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="bad.pth"):
        load_language_model(folder / "meta", tmp_path / "bad.pth")


def test_what_does_not_fit_is_listed_by_part(folder: Path, tmp_path: Path) -> None:
    """One tensor missing, one too many, one of another shape."""
    content = torch.load(folder / "7B.pth", weights_only=True)
    state = content["model"]
    del state["llama.layers.1.attention.wq.bias"]
    state["llama.layers.3.ffn_norm.weight"] = torch.ones(64)
    state["image_bind_f1_2.weight"] = torch.ones(3, 64)
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError) as caught:
        load_language_model(folder / "meta", tmp_path / "odd.pth")
    message = str(caught.value)
    assert "1 missing (bias 1: llama.model.layers.1.self_attn.q_proj.bias)" in message
    assert "1 unexpected (norm 1: llama.model.layers.3" in message
    assert "bind.blocks.1.gate.weight is 3x64, not 256x64" in message


def test_a_published_adapter_says_which_base_it_needs(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It carries no fingerprint; the base's own may be pinned."""
    found = load_base(folder / "meta").fingerprint
    with caplog.at_level(logging.WARNING):
        load_language_model(folder / "meta", folder / "7B.pth")
    assert "Open-Chinese-LLaMA" in caplog.text and found in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_language_model(folder / "meta", folder / "7B.pth", expect_base=found)
    assert not caplog.text
    with pytest.raises(WeightsError, match="expected the base sha256:0, and the base here is"):
        load_language_model(folder / "meta", folder / "7B.pth", expect_base="sha256:0")


def test_a_saved_adapter_loads_on_its_base_alone(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Written from Meta's files and read on Hugging Face's; another base only by force."""
    model = load_language_model(folder / "meta", folder / "7B.pth", fold=False)
    assert model.network is not None
    path = tmp_path / "adapter.safetensors"
    save_adapter(model.network, path, base=model.base.fingerprint)
    again = load_language_model(folder / "hf", path, fold=False)
    assert_same(parameters(again), parameters(model))
    other = write_base(tmp_path / "other", "hf")
    state = load_file(other / "model.safetensors")
    state["lm_head.weight"] *= 2
    save_file(state, other / "model.safetensors")
    with pytest.raises(WeightsError, match="force"):
        load_language_model(other, path)
    pin = load_base(other).fingerprint  # that the base is the one meant does not make it the right
    with pytest.raises(WeightsError, match=f"is for the base {model.base.fingerprint}"):
        load_language_model(other, path, expect_base=pin)
    load_language_model(other, path, force=True)
    assert "may mean nothing" in caplog.text


def test_a_folded_adapter_is_not_saved(folder: Path, tmp_path: Path) -> None:
    """Its changes are in the base's matrices by then."""
    model = load_language_model(folder / "meta", folder / "7B.pth")
    assert model.network is not None
    with pytest.raises(WeightsError, match="fold=False"):
        save_adapter(model.network, tmp_path / "a.safetensors", base="")
    assert not (tmp_path / "a.safetensors").exists()


def test_lora_is_added_to_an_adapter_without_it(folder: Path, tmp_path: Path) -> None:
    """At first it changes nothing: its outer factors and biases are zero."""
    path = write_adapter(tmp_path / "7B-pretrained.pth", "pretrain")
    plain = load_language_model(folder / "hf", path)
    more = load_language_model(folder / "hf", path, add_lora=4, fold=False)
    assert more.network is not None and more.network.config.lora_rank == 4
    tokens = torch.tensor([LLM.meta["prompts"]["1"]])
    logits = []
    for model in (plain, more):
        assert model.network is not None
        with torch.inference_mode(), model.network.seeing(torch.ones(1, 40)):
            logits.append(model.base.llama(input_ids=tokens).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)


def test_an_adapter_for_another_width_is_refused(folder: Path, tmp_path: Path) -> None:
    """A base of half the width, as a 13B adapter on 7B would be."""
    config = {**LLM.meta["hf_config"], "hidden_size": 32, "intermediate_size": 16}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    narrow = tmp_path / "narrow"
    narrow.mkdir()
    write_tokenizer(narrow, LLM.meta["vocab"])
    (narrow / "config.json").write_text(json.dumps(config))
    from transformers import LlamaConfig, LlamaForCausalLM

    state = LlamaForCausalLM(LlamaConfig.from_dict(config)).state_dict()
    save_file(state, narrow / "model.safetensors")
    with pytest.raises(WeightsError, match="3 layers of 4 heads, width 64; .* 1 of 2, width 32"):
        load_language_model(narrow, folder / "7B.pth")


def test_files_that_are_no_base_are_refused(folder: Path, tmp_path: Path) -> None:
    """Each is a folder that users do name by mistake."""
    with pytest.raises(UsageError, match="no folder"):
        load_base(tmp_path / "absent")
    with pytest.raises(UsageError, match="did you mean .*/meta"):
        load_base(folder)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="holds a bert model"):
        load_base(tmp_path)
    with pytest.raises(WeightsError, match="no adapter of ImageBind-LLM"):
        open_adapter(folder / "hf" / "model.safetensors")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """One word more than the embedding has rows, or fewer than nine in ten; rows may be padding."""
    folder = write_base(tmp_path / "hf", "hf")
    for n, fits in ((121, False), (120, True), (108, True), (107, False), (1, False)):
        write_tokenizer(folder, n)
        if fits:
            assert load_base(folder).tokenizer.size == n
            continue
        with pytest.raises(WeightsError, match=f"{n} tokens and the model an embedding of 120 row"):
            load_base(folder)


def test_a_token_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    """There are fewer tokens than rows, but one has an id that no row has."""
    folder = write_base(tmp_path / "hf", "hf")
    words = {f"w{i}": i for i in range(115)} | {"w115": 120}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    with pytest.raises(WeightsError, match="ids up to 120 and the model an embedding of 120 rows"):
        load_base(folder)


def test_a_model_too_large_for_the_machine_says_what_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has a byte less than the base and its adapter need together, by their numbers."""
    monkeypatch.setattr(base, "GB", 1)  # bytes
    need = 4 * sum(math.prod(shape) for shape, _ in LLM.meta["hf_state"].values())
    both = need + 4 * sum(math.prod(shape) for shape, _ in LLM.meta["finetune_state"].values())
    for there, adapter in ((need, None), (both, folder / "7B.pth")):
        sizes = {"SC_PHYS_PAGES": there, "SC_PAGE_SIZE": 1}
        monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
        load_language_model(folder / "hf", adapter, device="cpu")
        sizes["SC_PHYS_PAGES"] -= 1
        message = f"need {there}.0 GB in fp32 on cpu, which has {there - 1}.0 GB; choose precision"
        with pytest.raises(AnyBindError, match=message):
            load_language_model(folder / "hf", adapter, device="cpu")


def errors_of_allocation() -> list[Exception]:
    """What Python, torch on a CPU, torch on a GPU and the system raise where memory is short."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return [MemoryError(), caught.value, gpu, OSError(errno.ENOMEM, "Cannot allocate memory")]


@pytest.mark.parametrize("error", errors_of_allocation(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["base", "adapter", "fold"])
def test_memory_that_runs_out_while_loading_says_what_is_needed(
    folder: Path, error: Exception, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it runs out: not a damaged file, and not a traceback."""

    def fail(*_: object, **__: object) -> None:
        raise error

    if where == "fold":
        monkeypatch.setattr(Network, "fold", fail)
    else:
        of = {"base": "lm_head.weight", "adapter": "prefix_query.weight"}[where]
        read = TensorFile.read

        def reading(self: TensorFile, name: str) -> Tensor:
            return read(replace(self, get=fail) if name == of else self, name)  # type: ignore[arg-type]

        monkeypatch.setattr(TensorFile, "read", reading)
    message = r"with its adapter need 0\.\d GB in fp32 on cpu, and not as much is free; choose prec"
    with pytest.raises(AnyBindError, match=message):
        load_language_model(folder / "hf", folder / "7B.pth", device="cpu")


def test_a_damaged_file_is_no_lack_of_memory(folder: Path) -> None:
    """Other RuntimeErrors of torch say that a file cannot be read."""
    file = replace(open_tensors(folder / "7B.pth"), get=lambda name: torch.zeros(2).view(3))
    with pytest.raises(WeightsError, match="damaged, or not a weight file"):
        file.read("prefix_query.weight")


def test_a_quantised_matrix_takes_no_lora_in() -> None:
    """It has no floating-point matrix to add to."""
    layer = lora.LoRALinear(torch.nn.Identity(), 2, n_in=4, n_out=4, bias=False)
    with pytest.raises(UsageError, match="folded into a Identity"):
        lora._folded(layer, keep=False)


def test_a_file_of_another_format_is_refused(folder: Path, tmp_path: Path) -> None:
    """A later anybind may write another one."""
    path = tmp_path / "later.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "anybind-adapter 9"})
    with pytest.raises(WeightsError, match="'anybind-adapter 9'"):
        open_adapter(path)
    assert replace(open_adapter(folder / "7B.pth").config, lora_rank=0).n_layers == 3
