"""What a training would train, counted without any weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

from ..encoders.unfilled import unfilled
from ..errors import UsageError
from .adapter import AdapterFile, open_adapter
from .base import read_config
from .config import AdapterConfig, BindConfig, Group, Phase
from .network import Network, count

BIND_WIDTH = 4  # width of the bind network inside, over that of the language model, as published


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The parameters of a training."""

    phase: Phase
    config: AdapterConfig
    trained: Mapping[Group, int]  # numbers that are trained, by part
    frozen: int  # numbers of the adapter that stay as they are
    base: int  # numbers of the language model under it

    @property
    def total(self) -> int:
        """Numbers that are trained."""
        return sum(self.trained.values())


def plan(
    base: Path,
    phase: Phase,
    *,
    in_dim: int,
    adapter: Path | None = None,
    bind: BindConfig | None = None,
    lora_rank: int = 16,
) -> Plan:
    """Count what a phase trains on a base, of which ``config.json`` or ``params.json`` will do.

    Args:
        base: The base's folder.
        phase: What is trained.
        in_dim: Width of the encoder's vectors.
        adapter: What the training would start from, if that is there already.
        bind: Sizes of the bind network; by default those that :func:`adapter_config` chooses.
        lora_rank: Of the LoRA that a finetuning adds.

    Raises:
        UsageError: The sizes do not fit each other, or there is no such base.
        WeightsError: A file cannot be read.
    """
    llama = read_config(base)
    file = None if adapter is None else open_adapter(adapter)
    config = adapter_config(
        llama, phase, in_dim=in_dim, adapter=file, bind=bind, lora_rank=lora_rank
    )
    with unfilled():
        model = LlamaForCausalLM(llama)
        n_base = sum(p.numel() for p in model.parameters())
        try:
            network = Network(model, config)
        except ValueError as error:
            raise UsageError(f"{adapter} does not fit {base}: {error}") from error
    trained = network.trained(phase)
    names = set(trained)
    frozen = sum(p.numel() for name, p in network.adapter().items() if name not in names)
    return Plan(phase=phase, config=config, trained=count(trained), frozen=frozen, base=n_base)


def adapter_config(
    llama: LlamaConfig,
    phase: Phase,
    *,
    in_dim: int,
    adapter: AdapterFile | None,
    bind: BindConfig | None,
    lora_rank: int,
) -> AdapterConfig:
    """The sizes of an adapter: those of the one to go on from, or new ones.

    A new bind network has three blocks, four times as wide inside as the language model.

    Raises:
        UsageError: The sizes contradict each other.
    """
    if lora_rank < 1:
        raise UsageError(f"lora_rank is {lora_rank}; give at least 1")
    if adapter is not None:
        config = adapter.config
        if bind is not None and bind != config.bind:
            raise UsageError(
                f"{adapter.file.path} has another bind network than asked for: {config.bind}; "
                "leave the sizes to the adapter"
            )
        if phase is Phase.FINETUNE and not config.lora_rank:
            config = replace(config, lora_rank=lora_rank)
    else:
        dim: int = llama.hidden_size
        config = AdapterConfig(
            bind=bind or BindConfig(in_dim=in_dim, dim=dim, hidden=BIND_WIDTH * dim),
            n_layers=llama.num_hidden_layers,
            n_heads=llama.num_attention_heads,
            lora_rank=lora_rank if phase is Phase.FINETUNE else 0,
        )
    if config.bind.in_dim != in_dim:
        raise UsageError(
            f"the adapter takes vectors of {config.bind.in_dim} numbers and the encoder makes "
            f"{in_dim}; choose the encoder it was made for"
        )
    return config
