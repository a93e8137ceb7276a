"""The base language model: any LLaMA, from Meta's files or from a Hugging Face folder.

Both layouts end in the same ``LlamaForCausalLM``. Its fingerprint is taken from numbers that both
keep alike, so an adapter knows its base again in either, and in any precision that holds the same
numbers. An adapter on another base fails in silence (its answers mean nothing); hence the care.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from ..encoders.unfilled import unfilled
from ..errors import AnyBindError, UsageError, WeightsError
from .int8 import Int8Linear, in_int8, keep_in_int8
from .layouts import ROPE, from_meta, turned
from .tensors import (
    Shape,
    TensorFile,
    differences,
    is_out_of_memory,
    open_shards,
    open_tensors,
)
from .tokenizer import Tokenizer, find_tokenizer, meta_ends

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INT8 = "int8"  # of the blocks' matrices; what is left, and what is computed, is as in ``auto``
META_CONTEXTS = {  # tokens, which Meta's files do not say, by the rotation's base
    10_000.0: 2048,  # LLaMA 1; LLaMA 2 reads 4096 and cannot be told from it
    500_000.0: 8192,  # LLaMA 3
    1_000_000.0: 16_384,  # Code Llama
}
STRETCHED_CONTEXT = 131_072  # tokens, of LLaMA 3.1 and later, whose rotation is stretched ...
STRETCH = {
    False: 8.0,
    True: 32.0,
}  # ... so many times: 3.1; the models of 3.2, whose output is tied
META_VOCABULARY = 32_000  # entries, of LLaMA 1 and 2, where params.json says -1
META_MULTIPLE = 256  # that the width of the MLP is rounded up to, where params.json does not say it
META_THETA = 10_000.0  # of the rotation, where params.json does not say it
LEAST_USED = 0.9  # share of the embedding's rows that a tokenizer has tokens for; some are padding
SAMPLED = 1024  # numbers at either end of a tensor that enter the fingerprint
TURNED = re.compile(r"\.[qk]_proj\.")  # rows in another order in each layout
GB = 1e9  # bytes


@dataclass(frozen=True, kw_only=True)
class Base:
    """A language model without an adapter, and what belongs to it."""

    path: Path
    llama: LlamaForCausalLM
    tokenizer: Tokenizer
    bos: int | None  # id that opens a sequence, if one does
    eos: tuple[int, ...]  # ids that end an answer
    fingerprint: str  # ``sha256:`` of sizes and sampled numbers

    @property
    def context(self) -> int:
        """Tokens it can read and write together."""
        return int(self.llama.config.max_position_embeddings)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Weights in a folder, under the names of transformers."""

    config: LlamaConfig
    shapes: Mapping[str, Shape]
    read: Callable[[str], Tensor]
    bos: int | None
    eos: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """What weights take in memory."""

    what: str  # weights
    n_bytes: int
    device: torch.device
    precision: str

    def check(self) -> None:
        """Refuse what the device has no room for.

        Raises:
            AnyBindError: It has less.
        """
        there = _memory_of(self.device)
        if there is not None and self.n_bytes > there:
            raise self._unmet(f", which has {there / GB:.1f} GB")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Say in one line how much is needed if the block finds too little.

        Raises:
            AnyBindError: Memory that the block asked for was not there.
        """
        try:
            yield
        except (MemoryError, OSError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._unmet(", and not as much is free") from error

    def _unmet(self, there: str) -> AnyBindError:
        smaller = {"fp32": "precision bf16 or int8", INT8: "a smaller model"}
        return AnyBindError(
            f"{self.what} need {self.n_bytes / GB:.1f} GB in {self.precision} on "
            f"{self.device.type}{there}; choose {smaller.get(self.precision, 'precision int8')}"
        )


def load_base(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Precision = "auto",
    n_beside: int = 0,
) -> Base:
    """Read a base from a folder.

    Args:
        path: With ``params.json`` and ``consolidated.*.pth`` (Meta), or with ``config.json`` and
            weights (Hugging Face); and the tokenizer, which Meta keeps one folder above.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of the weights; ``auto`` is fp32 on a CPU, bf16 on a GPU. With ``int8`` the large
            matrices take a quarter of fp32, and answers differ a little.
        n_beside: Numbers of an adapter, for which there has to be room too.

    Raises:
        UsageError: No such folder, device or precision.
        WeightsError: A file is missing or damaged, or is for another kind of model.
        AnyBindError: The weights do not fit into memory.
    """
    folder = Path(path)
    where = _device(device)
    dtype = _dtype(precision, where)
    source = _open(folder)
    tokenizer = find_tokenizer(folder)
    _check_vocabulary(folder, tokenizer, source.config.vocab_size)
    with unfilled():
        llama = LlamaForCausalLM(source.config)
    _check_shapes(folder, source, llama)
    packed: set[str] = set()
    if precision == INT8:
        with torch.device("meta"):
            packed = keep_in_int8(llama)
    state: dict[str, Tensor] = {}
    digest = hashlib.sha256(_sizes(source.config).encode())
    need = need_of(folder, llama, n_beside, where, dtype)
    need.check()
    with need.filling():
        for name in sorted(source.shapes):
            tensor = source.read(name)
            if not TURNED.search(name):
                digest.update(_sample(tensor))
            if name in packed:
                scale = name.removesuffix("weight") + "scale"
                state[name], state[scale] = in_int8(tensor.to(where))
            else:
                state[name] = tensor.to(where, dtype, copy=True)
    llama.eval()  # type: ignore[no-untyped-call]
    llama.load_state_dict(state, strict=False, assign=True)  # the names were checked above
    llama.model.rotary_emb = LlamaRotaryEmbedding(config=source.config).to(where)
    if source.config.tie_word_embeddings:
        llama.tie_weights()
    logger.info("loaded base=%s tensors=%d device=%s dtype=%s", folder, len(state), where, dtype)
    return Base(
        path=folder,
        llama=llama.requires_grad_(False),
        tokenizer=tokenizer,
        bos=source.bos,
        eos=source.eos,
        fingerprint="sha256:" + digest.hexdigest(),
    )


def need_of(
    folder: Path, llama: LlamaForCausalLM, n_beside: int, device: torch.device, dtype: torch.dtype
) -> Need:
    """What a base needs with the ``n_beside`` numbers of an adapter."""
    n_packed = sum(
        b.nbytes for m in llama.modules() if isinstance(m, Int8Linear) for b in m.buffers()
    )
    n = sum(p.numel() for p in llama.parameters()) + n_beside
    name = next(name for name, known in PRECISIONS.items() if known is dtype)
    return Need(
        what=f"the weights of {folder}{' with its adapter' if n_beside else ''}",
        n_bytes=n * dtype.itemsize + n_packed,
        device=device,
        precision=INT8 if n_packed else name,
    )


def fingerprint_of(path: str | os.PathLike[str]) -> str:
    """The fingerprint that :func:`load_base` gives a base, with its weights read but not kept.

    Raises:
        UsageError: No such folder.
        WeightsError: A file is missing or damaged, or is for another kind of model.
    """
    source = _open(Path(path))
    digest = hashlib.sha256(_sizes(source.config).encode())
    for name in sorted(source.shapes):
        if not TURNED.search(name):
            digest.update(_sample(source.read(name)))
    return "sha256:" + digest.hexdigest()


def read_config(path: str | os.PathLike[str]) -> LlamaConfig:
    """The sizes of a base from its ``config.json`` or ``params.json`` alone; no weights are needed.

    Raises:
        UsageError: No such folder.
        WeightsError: The file cannot be read, or is for another kind of model.
    """
    folder = Path(path)
    if not (folder / "params.json").is_file():
        return _hugging_face_config(folder)
    table = _table(folder / "params.json")
    try:
        dim, multiple = int(str(table["dim"])), int(str(table.get("multiple_of", META_MULTIPLE)))
        share = float(str(table.get("ffn_dim_multiplier") or 1))
        vocabulary = int(str(table.get("vocab_size", -1)))
        hidden = int(share * int(8 * dim / 3))
        n_heads = int(str(table["n_heads"]))
        return LlamaConfig(
            hidden_size=dim,
            num_hidden_layers=int(str(table["n_layers"])),
            num_attention_heads=n_heads,
            num_key_value_heads=int(str(table.get("n_kv_heads") or n_heads)),
            intermediate_size=multiple * -(-hidden // multiple),
            vocab_size=vocabulary if vocabulary > 0 else META_VOCABULARY,
            tie_word_embeddings=False,
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{folder}/params.json lacks or misstates {error}") from error


# ------------------------------------------------------------------------------ the two layouts


def _open(folder: Path) -> _Source:
    if (folder / "params.json").is_file():
        return _open_meta(folder)
    if (folder / "config.json").is_file():
        return _open_hugging_face(folder)
    raise _no_model(folder)


def _no_model(folder: Path) -> UsageError:
    if not folder.is_dir():
        return UsageError(f"there is no folder {folder}; name the one with the base's weights")
    below = sorted(p.parent.name for p in folder.glob("*/params.json"))
    hint = f"; did you mean {folder / below[0]}?" if below else ""
    return UsageError(
        f"{folder} holds no language model: neither params.json (Meta's layout) nor config.json "
        f"(Hugging Face's){hint}"
    )


def _hugging_face_config(folder: Path) -> LlamaConfig:
    if not (folder / "config.json").is_file():
        raise _no_model(folder)
    table = _table(folder / "config.json")
    if table.get("model_type") != "llama":
        raise WeightsError(
            f"{folder} holds a {table.get('model_type')} model; a LLaMA is needed, or another "
            "model that its config.json calls llama"
        )
    if table.get("quantization_config"):
        raise WeightsError(
            f"{folder} holds weights that were quantised before; an adapter cannot know its base "
            f"by them. Use the unquantised weights, and precision {INT8} to have them take less"
        )
    return LlamaConfig.from_dict(table)


def _open_hugging_face(folder: Path) -> _Source:
    table, config = _table(folder / "config.json"), _hugging_face_config(folder)
    file = open_shards(folder)
    shapes = {
        name: shape
        for name, shape in file.shapes.items()
        if not name.endswith("rotary_emb.inv_freq")  # in old files; follows from the configuration
        and not (name == "lm_head.weight" and config.tie_word_embeddings)
    }
    more = folder / "generation_config.json"
    ends = [table.get("eos_token_id"), _table(more).get("eos_token_id") if more.is_file() else None]
    eos = [id for end in ends for id in (end if isinstance(end, list) else [end])]
    bos = table.get("bos_token_id")
    return _Source(
        config=config,
        shapes=shapes,
        read=file.read,
        bos=bos if isinstance(bos, int) else None,
        eos=tuple(dict.fromkeys(id for id in eos if isinstance(id, int))),
    )


def _open_meta(folder: Path) -> _Source:
    table = _table(folder / "params.json")
    file = _joined(folder)
    tied = _tied(file, table)
    ends = meta_ends(folder)
    names: dict[str, str] = {}  # ours -> the file's
    for name in file.shapes:
        if name == ROPE:
            continue
        ours = from_meta(name)
        if ours is None:
            raise WeightsError(f"{file.path} holds {name}, which no LLaMA has")
        names[ours.name] = name
    if tied:
        names.pop("lm_head.weight", None)
    try:
        n_heads = int(str(table["n_heads"]))
        heads = {"query": n_heads, "key": int(str(table.get("n_kv_heads") or n_heads))}
        config = LlamaConfig(
            hidden_size=int(str(table["dim"])),
            num_hidden_layers=int(str(table["n_layers"])),
            num_attention_heads=heads["query"],
            num_key_value_heads=heads["key"],
            rms_norm_eps=float(str(table["norm_eps"])),
            rope_parameters=_rotation(table, tied),
            vocab_size=file.shapes["tok_embeddings.weight"][0],
            intermediate_size=file.shapes["layers.0.feed_forward.w1.weight"][0],
            max_position_embeddings=_context(table),
            bos_token_id=ends.bos,
            eos_token_id=list(ends.eos),
            tie_word_embeddings=tied,
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{folder} is no LLaMA: {error} is missing or wrong in params.json or the weights"
        ) from error

    def read(name: str) -> Tensor:
        ours = from_meta(names[name])
        assert ours is not None
        return turned(file.read(names[name]), ours, heads)

    return _Source(
        config=config,
        shapes={ours: file.shapes[name] for ours, name in names.items()},
        read=read,
        bos=ends.bos,
        eos=ends.eos,
    )


def _theta(table: Mapping[str, object]) -> float:
    return float(str(table.get("rope_theta", META_THETA)))


def _context(table: Mapping[str, object]) -> int:
    """Tokens that a model of Meta's reads and writes together."""
    if table.get("use_scaled_rope"):
        return STRETCHED_CONTEXT
    return META_CONTEXTS.get(_theta(table), min(META_CONTEXTS.values()))


def _rotation(table: Mapping[str, object], tied: bool) -> dict[str, float | int | str]:
    """The rotation by position, in the words of transformers.

    Source: meta-llama/llama-models, apply_scaling; and transformers' conversion of these files.
    """
    if not table.get("use_scaled_rope"):
        return {"rope_type": "default", "rope_theta": _theta(table)}
    return {
        "rope_type": "llama3",
        "rope_theta": _theta(table),
        "factor": float(str(table.get("rope_scaling_factor") or STRETCH[tied])),
        "low_freq_factor": 1.0,
        "high_freq_factor": float(str(table.get("rope_high_freq_factor") or 4.0)),
        "original_max_position_embeddings": META_CONTEXTS[500_000.0],
    }


def _tied(file: TensorFile, table: Mapping[str, object]) -> bool:
    """Is the output the embedding again, as in LLaMA 3.2's? A file then holds it once or twice."""
    embedding, output = "tok_embeddings.weight", "output.weight"
    if embedding not in file.shapes or output not in file.shapes:
        return embedding in file.shapes
    if not table.get("use_scaled_rope") or file.shapes[embedding] != file.shapes[output]:
        return False
    return torch.equal(file.read(embedding)[:SAMPLED], file.read(output)[:SAMPLED])


def _joined(folder: Path) -> TensorFile:
    """``consolidated.*.pth``: larger models are cut into parts, each matrix along one axis."""
    parts = [open_tensors(path) for path in sorted(folder.glob("consolidated.*.pth"))]
    if not parts:
        raise WeightsError(f"{folder} has a params.json but no consolidated.*.pth beside it")
    if len(parts) == 1:
        return parts[0]
    first = parts[0].shapes
    output = first.get("output.weight", (0,))
    rows = len(parts) * output[0]  # of the vocabulary

    def axis(name: str) -> int | None:
        if len(first[name]) < 2:
            return None  # norms are the same in every part
        if name == "tok_embeddings.weight":
            return 0 if first[name][0] * len(parts) == rows else 1
        return 1 if re.search(r"\.(wo|w2)\.weight$", name) else 0

    def whole(name: str) -> Shape:
        shape = list(first[name])
        if (along := axis(name)) is not None:
            shape[along] *= len(parts)
        return tuple(shape)

    def get(name: str) -> Tensor:
        along = axis(name)
        if along is None:
            return parts[0].read(name)
        return torch.cat([part.read(name) for part in parts], dim=along)

    return TensorFile(path=folder, shapes={name: whole(name) for name in first}, get=get)


def _table(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds no table")
    return found


# ------------------------------------------------------------------------------ checks


def _check_shapes(folder: Path, source: _Source, llama: LlamaForCausalLM) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in llama.state_dict().items()}
    if source.config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    if problems := differences(source.shapes, expected, _part):
        raise WeightsError(
            f"the weights in {folder} do not fit its configuration: {problems}; fetch them again"
        )


def _check_vocabulary(folder: Path, tokenizer: Tokenizer, n_rows: int) -> None:
    """Refuse a tokenizer of another model: its ids mean other words."""
    if tokenizer.size <= n_rows and tokenizer.n_tokens >= LEAST_USED * n_rows:
        return
    n = tokenizer.n_tokens
    told = f"{n} tokens" if tokenizer.size <= max(n, n_rows) else f"ids up to {tokenizer.size - 1}"
    raise WeightsError(
        f"the tokenizer of {folder} has {told} and the model an embedding of {n_rows} rows; use "
        "the tokenizer that came with these weights"
    )


def _part(name: str) -> str:
    """``model.layers.3.self_attn.q_proj.weight`` -> ``self_attn``."""
    parts = name.split(".")
    return parts[3] if name.startswith("model.layers.") and len(parts) > 3 else parts[-2]


def _sizes(config: LlamaConfig) -> str:
    """What a fingerprint says of the configuration."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    heads = ("num_attention_heads", "num_key_value_heads")
    return json.dumps({name: getattr(config, name) for name in (*names, *heads)})


def _sample(tensor: Tensor) -> bytes:
    """The numbers at both ends of a tensor, as float32."""
    flat = tensor.flatten()
    return bytes(torch.cat((flat[:SAMPLED], flat[-SAMPLED:])).float().numpy().tobytes())


def _memory_of(device: torch.device) -> int | None:
    """Bytes that a device has: free ones of a GPU, all of a machine; None if it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device {name!r}: use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was asked for, but torch sees no GPU here")
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision in ("auto", INT8):
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if precision not in PRECISIONS:
        raise UsageError(
            f"precision {precision!r}: choose one of auto, {', '.join(PRECISIONS)}, {INT8}"
        )
    return PRECISIONS[precision]
