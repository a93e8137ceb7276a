"""What would be trained, counted without weights."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from anybind.errors import UsageError, WeightsError
from anybind.llm.adapter import save_adapter
from anybind.llm.base import fingerprint_of, load_base, read_config
from anybind.llm.config import AdapterConfig, Phase
from anybind.llm.network import Network
from anybind.llm.plan import plan

from .llm_folders import LLM, write_adapter, write_base

META_7B = {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "vocab_size": -1}


@pytest.mark.parametrize("layout", ["meta", "hf"])
def test_plans_of_7b_are_those_of_the_published_code(tmp_path: Path, layout: str) -> None:
    """From params.json as Meta ships it, and from the config.json of LLaMA 7B; no weights.

    608,322,560 and 41,340,928 were counted in the published code, 6,738,415,616 are LLaMA's.
    """
    if layout == "meta":
        (tmp_path / "params.json").write_text(json.dumps(META_7B | {"norm_eps": 1e-6}))
    else:
        (tmp_path / "config.json").write_text(json.dumps(LlamaConfig().to_dict(), default=str))
    pretrain = plan(tmp_path, Phase.PRETRAIN, in_dim=1024)
    assert (pretrain.total, pretrain.frozen, pretrain.base) == (608_322_560, 0, 6_738_415_616)
    finetune = plan(tmp_path, Phase.FINETUNE, in_dim=1024)
    assert (finetune.total, finetune.frozen) == (41_340_928, 608_322_560)


def test_a_plan_goes_on_from_an_adapter(tmp_path: Path) -> None:
    """The reference counts the tensors that the fixture's own file holds."""
    base = write_base(tmp_path / "meta", "meta")
    adapter = write_adapter(tmp_path / "7B.pth", "finetune")
    found = plan(base, Phase.FINETUNE, in_dim=40, adapter=adapter)
    state = torch.load(adapter, weights_only=True)["model"]
    n_trained = sum(
        tensor.numel()
        for name, tensor in state.items()
        if name.startswith("llama.") and any(part in name for part in ("norm", "bias", "lora"))
    )
    assert found.total == n_trained
    assert found.total + found.frozen == sum(tensor.numel() for tensor in state.values())


def test_a_params_json_that_lacks_something_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    with pytest.raises(WeightsError, match="lacks or misstates 'dim'"):
        plan(tmp_path, Phase.PRETRAIN, in_dim=1024)


@pytest.mark.parametrize("layout", ["meta", "hf"])
def test_sizes_and_fingerprints_are_those_of_the_loaded_base(tmp_path: Path, layout: str) -> None:
    """The reference is :func:`load_base`, which reads everything."""
    folder = write_base(tmp_path / layout, layout)
    base = load_base(folder, device="cpu")
    assert fingerprint_of(folder) == base.fingerprint
    found = read_config(folder)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    for name in names:
        assert getattr(found, name) == getattr(base.llama.config, name), name
    assert found.hidden_size == LLM.meta["params"]["dim"]


def test_an_adapter_for_another_base_is_refused(tmp_path: Path) -> None:
    """Sizes alone tell: the fixture's adapter has three layers."""
    base = write_base(tmp_path / "hf", "hf")
    network = Network(
        load_base(base, device="cpu").llama,
        AdapterConfig.from_dict(
            {
                "bind": {"in_dim": 8, "dim": 64, "hidden": 8, "n_blocks": 0, "legacy": False},
                "n_layers": 3,
                "n_heads": 4,
                "lora_rank": 0,
            }
        ),
    )
    save_adapter(network, tmp_path / "a.safetensors", base="sha256:0")
    (tmp_path / "params.json").write_text(json.dumps(META_7B))
    with pytest.raises(UsageError, match="does not fit"):
        plan(tmp_path, Phase.PRETRAIN, in_dim=8, adapter=tmp_path / "a.safetensors")
