"""Bases and adapters on disk, in every published layout, filled as the fixture says.

The vocabulary is the words ``w0`` to ``w119``, so a prompt spells out its token ids.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from anybind.encoders.config import ImageBindConfig, TrunkConfig, VisionConfig
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality
from anybind.encoders.weights import from_published

from .parity import Fixture, fill

LLM = Fixture("imagebind_llm_small")
KINDS = ("finetune", "pretrain", "legacy")  # adapters: 7B.pth, 7B-pretrained.pth, 7B-beta.pth


def words(ids: Sequence[int]) -> str:
    """A prompt of these ids, of which the first opens the sequence."""
    return " ".join(f"w{id}" for id in ids if id != LLM.meta["bos"])


def ids_of(text: str) -> list[int]:
    """The ids an answer spells out."""
    return [int(word[1:]) for word in text.split()]


def filled(table: str, seed: int) -> dict[str, Tensor]:
    """A state of the fixture, checked against its checksums."""
    entries = LLM.meta[table]
    state = fill.state({name: shape for name, (shape, _) in entries.items()}, seed)
    assert all(fill.crc(state[name]) == checksum for name, (_, checksum) in entries.items())
    return {name: torch.from_numpy(value.copy()) for name, value in state.items()}


def write_tokenizer(folder: Path, n: int) -> None:
    """A ``tokenizer.json`` of ``n`` words."""
    backend = Tokenizer(models.WordLevel({f"w{i}": i for i in range(n)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(folder / "tokenizer.json"))


def write_base(folder: Path, layout: str) -> Path:
    """The fixture's base; ``layout`` is ``meta``, ``parts`` (Meta's, in two files) or ``hf``."""
    folder.mkdir(parents=True)
    write_tokenizer(folder, LLM.meta["vocab"])
    state = filled("base_state", LLM.seed)
    if layout == "hf":
        numpy = {name: tensor.numpy() for name, tensor in state.items()}
        turned = fill.meta_to_hf(numpy, LLM.meta["params"]["n_heads"])
        assert all(fill.crc(turned[name]) == c for name, (_, c) in LLM.meta["hf_state"].items())
        (folder / "config.json").write_text(json.dumps(LLM.meta["hf_config"]))
        save_file({k: torch.from_numpy(v) for k, v in turned.items()}, folder / "model.safetensors")
        return folder
    (folder / "params.json").write_text(json.dumps(LLM.meta["params"]))
    if layout == "meta":
        torch.save(state, folder / "consolidated.00.pth")
        return folder
    for part in range(2):
        torch.save(
            {name: _half(name, tensor, part) for name, tensor in state.items()},
            folder / f"consolidated.0{part}.pth",
        )
    return folder


def _half(name: str, tensor: Tensor, part: int) -> Tensor:
    """One of two parts: Meta cuts embeddings, wo and w2 along columns, the rest along rows."""
    if tensor.ndim < 2:
        return tensor
    columns = name.endswith(("wo.weight", "w2.weight")) or name.startswith("tok_embeddings")
    return tensor.chunk(2, dim=1 if columns else 0)[part].clone()


def write_adapter(path: Path, kind: str, *, checkpoint: bool = False) -> Path:
    """A published adapter; ``checkpoint`` adds what a training checkpoint holds beside it."""
    seed = LLM.seed if kind == "finetune" else LLM.meta[f"{kind}_seed"]
    content: dict[str, Any] = {"model": filled(f"{kind}_state", seed)}
    if checkpoint:
        base = {f"llama.{k}": v for k, v in filled("base_state", LLM.seed).items()}
        more = {
            "image_bind.anything": torch.zeros(2),
            "prefix_projector_norm.weight": torch.ones(3),
        }
        content["model"] = {**base, **more, **content["model"]}
        content |= {"epoch": 3, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, path)
    return path


def image_vectors(name: str, n: int) -> Tensor:
    """Unit vectors ``(n, 40)`` of the fixture's pictures, by its vision tower."""
    sizes = LLM.meta["imagebind"]
    trunk = TrunkConfig(
        dim=sizes["vision_embed_dim"],
        n_blocks=sizes["vision_num_blocks"],
        n_heads=sizes["vision_num_heads"],
        input_norm=True,
    )
    config = ImageBindConfig(dim=sizes["out_embed_dim"], vision=VisionConfig(trunk=trunk))
    model = ImageBind(config).eval().requires_grad_(False)
    entries = {k: shape for k, (shape, _) in LLM.meta["imagebind_state"].items() if ".vision." in k}
    state = fill.state(entries, LLM.seed)
    model.load_state_dict(
        {str(from_published(k)): torch.from_numpy(v.copy()) for k, v in state.items()}, strict=True
    )
    x = torch.from_numpy(fill.normal(LLM.seed, f"input:llm/{name}", (n, 3, 224, 224)))
    found: Tensor = model(Modality.IMAGE, x)
    return torch.nn.functional.normalize(found)
