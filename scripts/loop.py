"""The training loop of the scripts: optimizers, schedule, checkpoints, log.

A step's random numbers depend on the seed and the step alone, so a run that was stopped and run
again ends as one that was not (to rounding, if the number of threads changed).
"""

import csv
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from anybind.precision import mixed_precision

WARMUP = 0.04  # share of the steps
CHECKPOINT_SECONDS = 300
MAX_NORM = 1.0  # of the gradient
INSIDE = re.compile(r"\b(blocks|layers)\.")  # names of parameters inside the blocks


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast; stages add what is theirs."""

    seed: int = 0
    n_samples: int  # seen in all
    batch: int = 256
    lr: float = 3e-3  # peak, of the matrices inside the blocks (Muon)
    lr_rest: float = 1e-3  # peak, of everything else (AdamW)
    weight_decay: float = 0.1  # of the matrices inside the blocks
    precision: str = "bf16"  # of products; parameters, residual stream and loss are fp32

    @property
    def steps(self) -> int:
        return self.n_samples // self.batch


StepLoss = Callable[[int, np.random.Generator], tuple[Tensor, Mapping[str, float]]]


def fit(module: nn.Module, schedule: Schedule, loss_of: StepLoss, out: Path, *, name: str) -> None:
    """Train a module to the end of its schedule, from its last checkpoint if there is one.

    Args:
        module: What is trained; its parameters that need no gradient stay as they are.
        schedule: Stored with every checkpoint; a checkpoint of another is refused.
        loss_of: ``(step, generator)`` to the loss of one batch, and figures for the log.
        out: Folder of ``{name}.pt`` and ``{name}.csv``.
        name: Of the stage.

    Raises:
        SystemExit: The checkpoint belongs to other settings, or the loss is no number.
    """
    optimizers = make_optimizers(module, schedule)
    path = out / f"{name}.pt"
    first = resume(module, schedule, out, name, optimizers)
    if first == schedule.steps:
        return
    log = _Log(out / f"{name}.csv", first)
    device = next(module.parameters()).device.type
    saved = time.monotonic()
    module.train()
    bar = tqdm(range(first, schedule.steps), name, initial=first, total=schedule.steps, unit="step")
    for step in bar:
        factor = progress(step, schedule.steps)
        for optimizer, lr in zip(optimizers, (schedule.lr, schedule.lr_rest), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
        rng = np.random.default_rng([schedule.seed, step])
        torch.manual_seed(int(rng.integers(2**62)))
        with mixed_precision(device, enabled=schedule.precision == "bf16"):
            loss, figures = loss_of(step, rng)
        module.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(module.parameters(), MAX_NORM)
        with nullcontext() if schedule.precision == "bf16" else _WithoutBfloat16():
            for optimizer in optimizers:
                optimizer.step()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"{name}: the loss is {loss.item()} at step {step}; lower lr")
        bar.set_postfix(
            {"loss": f"{loss.item():.3f}", **{k: f"{v:.3g}" for k, v in figures.items()}}
        )
        log.write(step, {"loss": loss.item(), "lr": schedule.lr * factor, **figures})
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == schedule.steps:
            _save(path, schedule, step + 1, module, optimizers)
            saved = time.monotonic()
    module.eval()


class _WithoutBfloat16(TorchFunctionMode):
    """Within this, torch's Muon works in float32. It asks for bfloat16, whose products take many
    times as long as float32's on processors that only emulate them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.bfloat16:
            return args[0].float().clone()  # a copy, as the other would be
        return func(*args, **(kwargs or {}))


def fast_precision() -> str:
    """bf16 where the machine multiplies it fast, fp32 elsewhere."""
    fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "fp32"


def progress(step: int, steps: int) -> float:
    """The share of the peak learning rate: linear warm-up, then half a cosine to zero."""
    warmup = max(1, int(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizers(module: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon (https://kellerjordan.github.io/posts/muon) for the matrices inside the blocks, which
    transformers calls layers, AdamW for embeddings, stems, heads, norms and biases; only the
    former decay."""
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    hidden = [p for n, p in trained.items() if p.ndim == 2 and INSIDE.search(n)]
    chosen = {id(p) for p in hidden}
    rest = [p for p in trained.values() if id(p) not in chosen]
    return [
        torch.optim.Muon(
            hidden,
            lr=schedule.lr,
            weight_decay=schedule.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            rest, lr=schedule.lr_rest, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        ),
    ]


def _save(
    path: Path,
    schedule: Schedule,
    step: int,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
) -> None:
    """Write a checkpoint beside the last one, then replace it."""
    state = {
        "settings": asdict(schedule),
        "step": step,
        "model": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def resume(
    module: nn.Module,
    schedule: Schedule,
    out: Path,
    name: str,
    optimizers: list[torch.optim.Optimizer] | None = None,
) -> int:
    """The step to continue at, with module and optimizers as they were then; 0 from nothing.

    Raises:
        SystemExit: The checkpoint belongs to other settings.
    """
    state = _read(schedule, out, name)
    if state is None:
        return 0
    module.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers or [], state["optimizers"], strict=False):
        optimizer.load_state_dict(saved)
    module.eval()
    return int(state["step"])


def finished(schedule: Schedule, out: Path, name: str) -> bool:
    """Whether the stage was trained to its end."""
    state = _read(schedule, out, name)
    return state is not None and state["step"] == schedule.steps


def _read(schedule: Schedule, out: Path, name: str) -> dict[str, Any] | None:
    """A stage's checkpoint, if there is one."""
    path = out / f"{name}.pt"
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    if state["settings"] != asdict(schedule):
        raise SystemExit(f"{path} was made with {state['settings']}; choose another --out")
    return state


class _Log:
    """A csv with one row a step; rows after the checkpoint that is resumed are dropped."""

    def __init__(self, path: Path, first: int) -> None:
        self._rows: list[list[str]] = []
        if first and path.exists():
            with path.open(newline="") as file:
                self._rows = list(csv.reader(file))[: first + 1]
        before = float(self._rows[-1][1]) if len(self._rows) > 1 else 0.0
        self._started = time.monotonic() - before
        self._file = path.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerows(self._rows)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one step; ``seconds`` counts the time of all runs that were kept."""
        if not self._rows:
            self._rows = [["step", "seconds", *figures]]
            self._csv.writerows(self._rows)
        seconds = time.monotonic() - self._started
        self._csv.writerow(
            [step, f"{seconds:.1f}", *(f"{value:.5g}" for value in figures.values())]
        )
        self._file.flush()
