"""Training of an adapter, in the stages of ImageBind-LLM: captions, then instructions, then chats.

A step learns from one batch, whatever the number of processes and of parts it is cut into: the loss
is the mean over all tokens that the batch wants learned, so neither changes what is learned beyond
rounding. Batches follow from the seed and the step, so a training that was stopped and started
again ends as one that was not.

Source: ImageBind-LLM, https://arxiv.org/abs/2309.03905, sec. 3 and its released code, which takes
the mean over every part, lets gates decay, and cuts long answers without a word.
"""

import hashlib
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ..encoders.cache import fingerprint
from ..encoders.encoder import Encoder, load_encoder
from ..encoders.modality import Vectors
from ..errors import AnyBindError, UsageError, WeightsError
from ..files import remove, write_atomically, writing
from ..precision import mixed_precision
from .adapter import (
    AdapterFile,
    EncoderNote,
    check_base,
    check_encoder,
    fill,
    open_adapter,
    save_adapter,
)
from .base import Base, Precision, fingerprint_of, load_base
from .batches import Order, collate, n_learned, shares
from .checkpoint import Progress, load_checkpoint, restore, save_checkpoint
from .config import BindConfig, Phase
from .examples import Examples, Ints, Report, encoder_of
from .log import TrainingLog, last_loss
from .network import Network, count
from .plan import adapter_config
from .records import Source, find_files, read_records
from .vectors import VectorStore

logger = logging.getLogger(__name__)

PUBLISHED_LR = {Phase.PRETRAIN: 1e-4, Phase.FINETUNE: 1e-3}  # peak, for batches of PUBLISHED_BATCH
PUBLISHED_BATCH = 256
CHECKPOINT = Path("checkpoint") / "state.pt"  # in the folder of a training
CARD_FORMAT = "anybind-training 1"
RECORDED = ("anybind", "torch", "transformers", "numpy")  # packages whose versions a card names
MAX_SEED = 2**31  # seed and step together are torch's seed of 64 bits
UNCOMPARED = ("accumulation", "shard", "checkpoint_seconds")  # settings that change no result


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an adapter is trained."""

    phase: Phase
    epochs: float = 1.0  # passes over the mixture
    steps: int | None = None  # instead of epochs
    batch_size: int = 32  # records a step, over all processes
    accumulation: int = 1  # parts that a process cuts its share of a batch into, to save memory
    lr: float | None = (
        None  # peak; None: as published, for the phase and in proportion to the batch
    )
    weight_decay: float = 0.02  # of matrices; never of gates, norms and biases
    warmup: float = 0.03  # share of the steps in which the learning rate rises
    betas: tuple[float, float] = (0.9, 0.95)  # of AdamW
    max_norm: float | None = None  # longer gradients are shortened to it; None: never, as published
    precision: Precision = "auto"  # of the products; fp32 on a CPU, bf16 on a GPU
    max_tokens: int = 512  # of a record; longer ones are cut
    seed: int = 0  # of new weights and of the order
    shard: bool = False  # spread the weights over the processes (FSDP) instead of copying them
    checkpoint_seconds: float = 300.0  # between checkpoints

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulation", "max_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give at least 1")
        if not 0 <= self.seed < MAX_SEED:
            raise UsageError(f"seed is {self.seed}; give a number from 0 to {MAX_SEED - 1}")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"steps is {self.steps}; give at least 1")
        if not 0 < self.epochs < math.inf:
            raise UsageError(f"epochs is {self.epochs}; give a positive number")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UsageError(f"lr is {self.lr}; give a positive number")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup is {self.warmup}; it is a share of the steps, below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight_decay is {self.weight_decay}; give 0 or more")
        if self.max_norm is not None and not self.max_norm > 0:
            raise UsageError(f"max_norm is {self.max_norm}; give a positive number")
        if self.precision == "fp16":
            raise UsageError("precision fp16 loses small gradients; train in bf16 or fp32")
        if self.precision == "int8":
            raise UsageError("precision int8 is for answers; train in bf16 or fp32")

    @property
    def peak(self) -> float:
        """The learning rate at the end of the warm-up."""
        if self.lr is not None:
            return self.lr
        return PUBLISHED_LR[self.phase] * self.batch_size / PUBLISHED_BATCH


def train(
    base: Path,
    sources: Sequence[Source],
    out: Path,
    settings: Settings,
    *,
    encoder: str | os.PathLike[str] = "imagebind-mini",
    adapter: Path | None = None,
    bind: BindConfig | None = None,
    lora_rank: int = 16,
    image_root: Path | None = None,
    vectors: Path | None = None,
    device: str = "auto",
    expect_base: str | None = None,
    force: bool = False,
    progress: bool = True,
) -> Path:
    """Train an adapter, or go on where an earlier call was stopped.

    In ``out`` come to lie ``adapter.safetensors``, its card ``adapter.json``, ``log.csv`` with one
    row a step, ``events/`` for TensorBoard, and while it is unfinished ``checkpoint/``. Several
    processes (torchrun) share the work and write these once.

    Args:
        base: Folder of the language model.
        sources: What to learn from.
        out: A folder of its own.
        settings: How.
        encoder: Of the pictures: a preset or a weight file, as :func:`load_encoder` takes it.
        adapter: What to go on from: pretraining may, finetuning must.
        bind: Sizes of a new bind network.
        lora_rank: Of new LoRA.
        image_root: What the pictures of lists are relative to; by default the list's folder.
        vectors: Folder of the pictures' vectors, which stages may share; by default in ``out``.
        device: ``auto``, ``cpu`` or ``cuda``; a process takes the GPU of its rank.
        expect_base: The fingerprint the base must have.
        force: Put the adapter on another base or encoder than its own all the same.
        progress: Show bars on stderr.

    Returns:
        The path of the adapter.

    Raises:
        UsageError: Something asked for contradicts something else, or the data cannot be used.
        WeightsError: The base or the adapter cannot be read, or do not fit.
        AnyBindError: The loss is no number, or a checkpoint is damaged.
        KeyboardInterrupt: It was stopped, after a checkpoint was written.
    """
    if not sources:
        raise UsageError("there is nothing to learn from; give at least one source")
    if settings.phase is Phase.FINETUNE and adapter is None:
        raise UsageError("finetuning goes on from an adapter that was pretrained; give adapter")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"device {device!r}: use auto, cpu or cuda; CUDA_VISIBLE_DEVICES chooses among GPUs"
        )
    accelerator = Accelerator(cpu=on_cpu(device))
    if device == "cuda" and accelerator.device.type != "cuda":
        raise UsageError("device 'cuda' was asked for, but torch sees no GPU here")
    if settings.batch_size < accelerator.num_processes * settings.accumulation:
        raise UsageError(
            f"a batch of {settings.batch_size} cannot be cut into {settings.accumulation} parts "
            f"for each of {accelerator.num_processes} processes; raise batch_size"
        )
    pictures = load_encoder(encoder, device=str(accelerator.device))
    asked = _plain(
        {
            **{key: value for key, value in asdict(settings).items() if key not in UNCOMPARED},
            "sources": [_described(source) for source in sources],
            "image_root": None if image_root is None else str(image_root),
            "encoder": pictures.fingerprint,
            "adapter": None if adapter is None else fingerprint(adapter),
            "bind": None if bind is None else asdict(bind),
            "lora_rank": lora_rank,
        }
    )
    path, card = out / "adapter.safetensors", out / "adapter.json"
    if path.exists() and card.exists():
        found = _read_card(card)["asked"]
        _check_same(out, found, asked | {"base": fingerprint_of(base)})
        logger.info("finished already: %s", path)
        return path
    file = None if adapter is None else open_adapter(adapter)
    bf16 = settings.precision == "bf16" or (
        settings.precision == "auto" and accelerator.device.type != "cpu"
    )
    opened = load_base(base, device=str(accelerator.device), precision="bf16" if bf16 else "fp32")
    asked["base"] = opened.fingerprint
    checkpoint = load_checkpoint(out / CHECKPOINT)
    if checkpoint is not None:
        _check_same(out, checkpoint["asked"], asked)
    network = _network(
        opened, settings, pictures, file, bind, lora_rank, expect_base=expect_base, force=force
    )
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(_alone(out))
        shown = progress and accelerator.is_main_process
        examples, rows = _prepare(
            sources, opened, settings, pictures, image_root, vectors or out / "vectors", shown
        )
        if accelerator.is_main_process:
            _warn(examples.reports)
        asked["data"] = [report.digest for report in examples.reports]
        if checkpoint is not None:
            found = checkpoint["asked"]
            assert isinstance(found, dict)
            if found["data"] != asked["data"]:
                raise UsageError(
                    f"the data changed since {out} was begun; give another folder, or remove it"
                )
        run = _Run(
            settings=settings,
            accelerator=accelerator,
            network=network,
            examples=examples,
            vectors=rows,
            order=Order(
                examples.ids,
                [source.weight for source in sources],
                examples.lengths,
                batch_size=settings.batch_size,
                seed=settings.seed,
            ),
            asked=asked,
            out=out,
            bf16=bf16,
            shown=shown,
        )
        done = run.learn(checkpoint)
        run.unshard()
        if accelerator.is_main_process:
            save_adapter(
                network,
                path,
                base=opened.fingerprint,
                encoder=EncoderNote.of(pictures),
                notes={"phase": str(settings.phase)},
            )
            facts = run.card(done, opened, pictures)
            write_atomically(card, (json.dumps(facts, indent=1) + "\n").encode())
            remove((out / CHECKPOINT).parent)
    accelerator.wait_for_everyone()
    return path


def on_cpu(device: str) -> bool:
    """Whether a training that asks for a device takes the CPU.

    accelerate has to be told: without a GPU, and not told, processes of one torchrun do not meet.
    """
    return device == "cpu" or not torch.accelerator.is_available()


# ------------------------------------------------------------------------------ the steps


@dataclass(kw_only=True)
class _Run:
    """What the steps of a training need."""

    settings: Settings
    accelerator: Accelerator
    network: Network
    examples: Examples
    vectors: Vectors
    order: Order
    asked: Mapping[str, object]
    out: Path
    bf16: bool  # are products computed in bf16?
    shown: bool  # does this process show a bar?

    @property
    def steps(self) -> int:
        """Steps in all."""
        if self.settings.steps is not None:
            return self.settings.steps
        examples = self.settings.epochs * self.order.epoch_size
        return max(1, math.ceil(examples / self.settings.batch_size))

    def learn(self, checkpoint: Mapping[str, object] | None) -> Progress:
        """Take every step that is left."""
        settings, accelerator = self.settings, self.accelerator
        model = self._spread()
        optimizer = self._optimizer()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        done = Progress() if checkpoint is None else restore(checkpoint, model, optimizer)
        if done.step < self.steps:
            self.network.train()
        before, started = done, time.monotonic()
        saved = started
        steps = self.steps
        with ExitStack() as stack:
            stopped = stack.enter_context(_signals())
            log = None
            if accelerator.is_main_process:
                log = stack.enter_context(TrainingLog(self.out, done.step))
            bar = stack.enter_context(
                tqdm(
                    desc=str(settings.phase),
                    initial=done.step,
                    total=steps,
                    unit="step",
                    disable=not self.shown,
                )
            )
            for step in range(done.step, steps):
                torch.manual_seed((settings.seed << 32) + step)
                lr = settings.peak * schedule(step, steps, settings.warmup)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                batch = self.order.batch(step)
                loss = self._gradients(model, batch)
                norm = _norm(parameters, settings.max_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                now = time.monotonic()
                due = accelerator.is_main_process and now - saved > settings.checkpoint_seconds
                signs = torch.tensor([bool(stopped), due], device=loss.device)
                shared = accelerator.reduce(torch.cat((loss[None], signs.to(loss.dtype))))
                assert isinstance(shared, Tensor)
                value, n_stopped, n_due = shared.tolist()
                if not (math.isfinite(value) and math.isfinite(norm)):
                    raise AnyBindError(
                        f"the loss is {value:g} and the gradient {norm:g} long at step {step}; "
                        f"give a lower lr than {settings.peak:g} and another folder, or max_norm"
                    )
                done = Progress(
                    step=step + 1,
                    tokens=done.tokens + int(self.examples.lengths[batch].sum()),
                    seconds=before.seconds + now - started,
                )
                rate = (done.tokens - before.tokens) / max(now - started, 1e-9)
                if log is not None:
                    figures = {"loss": value, "lr": lr, "norm": norm, "tokens_per_second": rate}
                    log.write(step, {"seconds": done.seconds, **figures})
                bar.set_postfix(loss=f"{value:.3f}", tokens_s=f"{rate:,.0f}", refresh=False)
                bar.update()
                if n_due or n_stopped:
                    self._save(model, optimizer, done)
                    saved = time.monotonic()
                if n_stopped:
                    raise KeyboardInterrupt
        if steps > before.step:  # the adapter may fail to be written: a full disk
            self._save(model, optimizer, done)
        return done

    def unshard(self) -> None:
        """Give every process the whole of each parameter again; they take part alike."""
        for module in self.network.modules():
            if isinstance(module, FSDPModule):
                module.unshard()

    def card(self, done: Progress, base: Base, encoder: Encoder) -> dict[str, object]:
        """What anyone should know who finds the adapter, fit for JSON."""
        phase = self.settings.phase
        return {
            "format": CARD_FORMAT,
            "phase": str(phase),
            "base": base.fingerprint,
            "encoder": EncoderNote.of(encoder).to_dict(),
            "config": self.network.config.to_dict(),
            "settings": asdict(self.settings),
            "trained": {str(part): n for part, n in count(self.network.trained(phase)).items()},
            "data": [asdict(report) for report in self.examples.reports],
            "steps": done.step,
            "tokens": done.tokens,
            "seconds": round(done.seconds, 1),
            "loss": last_loss(self.out),
            "processes": self.accelerator.num_processes,
            "versions": {name: version(name) for name in RECORDED},
            "asked": dict(self.asked),
        }

    def _spread(self) -> nn.Module:
        """The network as the processes train it together: alone, replicated, or sharded."""
        if not (self.settings.shard and self.accelerator.num_processes > 1):
            model: nn.Module = self.accelerator.prepare(self.network)
            return model
        mesh = init_device_mesh(self.accelerator.device.type, (self.accelerator.num_processes,))
        for layer in self.network.llama.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(self.network, mesh=mesh)
        return self.network

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW, which lets only matrices decay: gates, norms and biases are vectors."""
        trained = self.network.trained(self.settings.phase).values()
        matrices = [p for p in trained if p.ndim > 1]
        vectors = [p for p in trained if p.ndim < 2]
        decay = self.settings.weight_decay
        return torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.settings.peak,
            betas=self.settings.betas,
            fused=not self.settings.shard,
        )

    def _gradients(self, model: nn.Module, batch: Ints) -> Tensor:
        """Add up the gradients of this process's share; returns its part of the batch's loss.

        Processes average their gradients, so each counts its loss as many times as there are
        processes; then the whole is the mean over the learned tokens of the batch.
        """
        accelerator = self.accelerator
        n_processes, device = accelerator.num_processes, accelerator.device
        total = torch.zeros((), device=device)
        n_batch = n_learned(self.examples, batch)
        parts = shares(
            batch,
            process=accelerator.process_index,
            n_processes=n_processes,
            accumulation=self.settings.accumulation,
        )
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            if isinstance(model, FSDPModule):
                model.set_requires_gradient_sync(last)
            waits = not last and isinstance(model, DistributedDataParallel)
            with self.accelerator.no_sync(model) if waits else nullcontext():
                data = collate(self.examples, part, self.vectors)
                with mixed_precision(device.type, enabled=self.bf16):
                    loss = model(
                        data.tokens.to(device),
                        data.labels.to(device),
                        data.vectors.to(device),
                        None if data.segments is None else data.segments.to(device),
                    )
                loss = loss * (n_learned(self.examples, part) / n_batch)
                torch.autograd.backward(loss * n_processes)
            total += loss.detach()
        return total

    def _save(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        save_checkpoint(
            self.out / CHECKPOINT,
            model,
            optimizer,
            progress=progress,
            asked=self.asked,
            write=self.accelerator.is_main_process,
        )


def schedule(step: int, steps: int, warmup: float) -> float:
    """The share of the peak learning rate: linear from 0, then half a cosine to 0."""
    n_warm = round(warmup * steps)
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / (steps - n_warm)))


def _norm(parameters: Sequence[nn.Parameter], longest: float | None) -> float:
    """The length of the gradient, which is shortened to ``longest`` if there is such a limit."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if longest is not None:
        nn.utils.clip_grads_with_norm_(parameters, longest, norm)
    return float(norm)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the first request to stop, so that the step at hand is finished; a second one kills.

    Only the main thread receives signals; in another one nothing is collected.
    """
    received: list[int] = []
    wanted = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in wanted}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for wanted_number, handler in before.items():
            signal.signal(wanted_number, handler)

    for number in wanted:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ------------------------------------------------------------------------------ before the steps


def _network(
    base: Base,
    settings: Settings,
    encoder: Encoder,
    adapter: AdapterFile | None,
    bind: BindConfig | None,
    lora_rank: int,
    *,
    expect_base: str | None,
    force: bool,
) -> Network:
    """The base with an adapter around it, of which the phase's part is trained in fp32."""
    if expect_base is not None and expect_base != base.fingerprint and not force:
        raise WeightsError(
            f"the base {base.path} is {base.fingerprint}, not {expect_base}; name the right one"
        )
    if adapter is not None:
        check_base(adapter, base.fingerprint, expect_base=expect_base, force=force)
    config = adapter_config(
        base.llama.config,
        settings.phase,
        in_dim=encoder.dim,
        adapter=adapter,
        bind=bind,
        lora_rank=lora_rank,
    )
    if adapter is not None:
        check_encoder(adapter, encoder, force=force)
    torch.manual_seed(settings.seed)
    try:
        network = Network(base.llama, config)
    except ValueError as error:
        name = "the bind network" if adapter is None else adapter.file.path
        raise WeightsError(f"{name} does not fit {base.path}: {error}") from error
    network.prepare(settings.phase)  # before filling: what is trained keeps its fp32
    if adapter is not None:
        fill(network, adapter, fresh_lora=config.lora_rank > adapter.config.lora_rank)
    for parameter in network.adapter().values():
        dtype = parameter.dtype if parameter.requires_grad else base.llama.dtype
        parameter.data = parameter.data.to(base.llama.device, dtype)
    return network


def _prepare(
    sources: Sequence[Source],
    base: Base,
    settings: Settings,
    encoder: Encoder,
    image_root: Path | None,
    vectors: Path,
    progress: bool,
) -> tuple[Examples, Vectors]:
    """Read the sources, and encode the pictures that no earlier training encoded."""
    if not base.eos:
        raise WeightsError(
            f"{base.path} names no token that ends an answer; set eos_token_id in its config.json"
        )
    if settings.max_tokens > base.context:
        raise UsageError(
            f"max_tokens is {settings.max_tokens} and the language model reads at most "
            f"{base.context}; ask for that or less"
        )
    encode = encoder_of(
        base.tokenizer, bos=base.bos, eos=base.eos[0], max_tokens=settings.max_tokens
    )
    examples = Examples()
    for source in sources:
        records = tqdm(
            read_records(source, image_root),
            desc=source.path.name,
            unit=" records",
            disable=not progress,
        )
        examples.add(str(source.path), source.weight, records, encode)
    store = VectorStore(vectors, encoder)
    broken = store.encode(examples.pictures, progress=progress)
    examples.settle(store.rows(), broken)
    return examples, store.vectors()


def _warn(reports: Sequence[Report]) -> None:
    """Say what is not learned from."""
    for report in reports:
        n_skipped = sum(report.skipped.values())
        if n_skipped:
            first = "; ".join(f"{name}: {reason}" for name, reason in report.examples.items())
            logger.warning("%s: skipped %d records (%s)", report.path, n_skipped, first)
        if report.cut:
            logger.warning(
                "%s: %d of %d records are longer than max_tokens; they are cut, and their end is "
                "not learned",
                *(report.path, report.cut, report.records),
            )


def _described(source: Source) -> dict[str, object]:
    """What tells a source from another without reading it: its files with their sizes."""
    sizes = [[file.name, file.stat().st_size] for file in find_files(source)]
    digest = hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    return {"path": str(source.path), "weight": source.weight, "files": digest}


def _plain(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as JSON gives them back: no enums, no tuples."""
    plain: dict[str, object] = json.loads(json.dumps(facts))
    return plain


def _read_card(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnyBindError(f"cannot read {path}: {error}; remove its folder") from error
    if not isinstance(found, dict) or found.get("format") != CARD_FORMAT:
        raise AnyBindError(f"{path} is no card of a training; choose another folder")
    return found


def _check_same(out: Path, found: object, asked: Mapping[str, object]) -> None:
    """Refuse a folder that holds a training of something else; its data are compared later."""
    assert isinstance(found, dict)
    changes = [
        f"{name} {found.get(name)} instead of {value}"
        for name, value in asked.items()
        if found.get(name) != value
    ]
    if changes:
        raise UsageError(
            f"{out} holds a training with {', '.join(changes)}; give another folder, or remove it"
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second training out of the folder."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / "lock", timeout=0):
            yield
    except Timeout:
        raise UsageError(f"another training writes into {out}; wait for it to end") from None
