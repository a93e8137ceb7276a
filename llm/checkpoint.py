"""The state of an unfinished training on disk: trained numbers, optimizer, and how far it came.

Written whole or not at all, by the first process, after all processes gave their parts; so it does
not matter how many processes wrote it and how many go on.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ..errors import AnyBindError
from ..files import atomic_path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training came."""

    step: int = 0  # steps done
    tokens: int = 0  # read so far
    seconds: float = 0.0  # spent so far


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    progress: Progress,
    asked: Mapping[str, object],
    write: bool,
) -> None:
    """Write a checkpoint; every process calls this, and one of them writes.

    Args:
        path: Replaced if it exists.
        model: Plain, replicated or sharded.
        optimizer: Of the model.
        progress: How far it came.
        asked: What the training was asked to do, for :func:`load_checkpoint` to compare.
        write: Is this the process that writes?
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    state = {
        "asked": dict(asked),
        "progress": asdict(progress),
        "model": get_model_state_dict(model, options=options),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options),
    }
    if write:
        with atomic_path(path) as aside:
            torch.save(state, aside)


def load_checkpoint(path: Path) -> dict[str, object] | None:
    """What :func:`save_checkpoint` wrote; ``None`` if there is nothing.

    Raises:
        AnyBindError: The file is damaged.
    """
    if not path.exists():
        return None
    try:
        found: dict[str, object] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged zip or pickle raises almost anything
        raise AnyBindError(f"{path} is damaged; remove it to begin the training anew") from error
    return found


def restore(
    found: Mapping[str, object], model: nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    """Put model and optimizer in the state of a checkpoint; every process calls this."""
    options = StateDictOptions(full_state_dict=True, strict=False)
    weights, moments, progress = found["model"], found["optimizer"], found["progress"]
    assert isinstance(weights, dict) and isinstance(moments, dict) and isinstance(progress, dict)
    set_model_state_dict(model, weights, options=options)
    set_optimizer_state_dict(model, optimizer, moments, options=options)
    return Progress(**progress)
