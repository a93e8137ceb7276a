"""How fast the encoders are, and how much of the machine they use.

For each tower: items a second, and the share of the speed that plain matrix products of the same
shapes reach, measured in turn with it. Beside it, the same number of plain blocks around
``torch.nn.MultiheadAttention``, of the same sizes and without stem and head. Weights are random:
speed does not depend on them.

    python scripts/bench_encoders.py --size mini
    python scripts/bench_encoders.py --size huge --towers vision text --repeats 5
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    IMUConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
    imagebind_huge,
    imagebind_mini,
)
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality, Tower

SIZES: dict[str, Callable[[], ImageBindConfig]] = {"huge": imagebind_huge, "mini": imagebind_mini}
PASS_FLOP = 300e9  # of one timed pass: a second or two on two cores in fp32
MIN_BATCH, MAX_BATCH = 2, 256
TEXT_BATCH = 16  # texts at least where short ones are compared with full ones
SHORT_TOKENS = (5, 10)  # of a short text, from and to
PRECISIONS = (torch.float32, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Work:
    """One tower's input, and what its forward pass costs."""

    modality: Modality
    item: tuple[int, ...]  # shape of one prepared item
    tokens: int  # a trunk reads
    trunk: TrunkConfig
    other_flop: float  # of stem and head, for one item
    stem_matmul: tuple[int, int, int]  # the largest outside the trunk: rows an item, in, out

    @property
    def flop(self) -> float:
        """Floating-point operations for one item; a multiplication with its addition is two."""
        dim, n = self.trunk.dim, self.tokens
        linear = 2 * n * dim * (4 * dim + 2 * self.trunk.hidden)
        attention = 4 * n * (n + self.trunk.bias_kv) * dim / (2 if self.trunk.causal else 1)
        return self.trunk.n_blocks * (linear + attention) + self.other_flop

    @property
    def matmuls(self) -> list[tuple[int, int, int]]:
        """Shapes to hold the tower against: rows an item, in, out."""
        dim = self.trunk.dim
        shapes = [(dim, 3 * dim), (dim, self.trunk.hidden), (self.trunk.hidden, dim)]
        return [*((self.tokens, *shape) for shape in shapes), self.stem_matmul]


def work(config: ImageBindConfig, tower: Tower) -> Work:
    """What a tower of a configuration does."""
    item: tuple[int, ...]
    match getattr(config, tower):
        case VisionConfig() as vision:
            rows = vision.grid[0] * vision.grid[1]
            item, n_in, modality = (3, vision.size, vision.size), 3 * vision.patch**2, "image"
            trunk = vision.trunk
        case AudioConfig() as audio:
            rows, n_in, modality = audio.grid[0] * audio.grid[1], audio.kernel**2, "audio"
            item, trunk = (1, audio.n_mels, audio.n_frames), audio.trunk
        case MapConfig() as picture:
            rows, n_in = picture.grid[0] * picture.grid[1], picture.patch**2
            item, trunk, modality = (1, picture.size, picture.size), picture.trunk, tower.value
        case IMUConfig() as imu:
            rows, n_in = imu.n_samples // imu.window, imu.n_channels * imu.window
            item, trunk, modality = (imu.n_channels, imu.n_samples), imu.trunk, "imu"
        case TextConfig() as text:
            return Work(
                modality=Modality.TEXT,
                item=(text.n_tokens,),
                tokens=text.n_tokens,
                trunk=text.trunk,
                other_flop=2 * text.trunk.dim * config.dim,
                stem_matmul=(1, text.trunk.dim, config.dim),
            )
        case PointsConfig() as points:
            a, b, c, d = points.group_channels
            rows = points.n_centres * points.group
            return Work(
                modality=Modality.POINTS,
                item=(points.n_points, 3),
                tokens=1 + points.n_centres,
                trunk=points.trunk,
                other_flop=2 * rows * (3 * a + a * b + 2 * b * c + c * d),
                stem_matmul=(rows, 2 * b, c),
            )
        case _:
            raise ValueError(f"no {tower} tower in this configuration")
    return Work(
        modality=Modality(modality),
        item=item,
        tokens=1 + rows,
        trunk=trunk,
        other_flop=2 * trunk.dim * (rows * n_in + config.dim),
        stem_matmul=(rows, n_in, trunk.dim),
    )


class PlainBlock(nn.Module):
    """A transformer block as one writes it from torch's own modules."""

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        self.causal = trunk.causal
        self.norm_1, self.norm_2 = nn.LayerNorm(trunk.dim), nn.LayerNorm(trunk.dim)
        self.attn = nn.MultiheadAttention(
            trunk.dim, trunk.n_heads, batch_first=True, add_bias_kv=trunk.bias_kv
        )
        self.mlp = nn.Sequential(
            nn.Linear(trunk.dim, trunk.hidden), nn.GELU(), nn.Linear(trunk.hidden, trunk.dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, dim)`` to the same."""
        y = self.norm_1(x)
        mask = None
        if self.causal:
            mask = nn.Transformer.generate_square_subsequent_mask(
                x.shape[1], device=x.device, dtype=x.dtype
            )
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask, is_causal=self.causal)[0]
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def in_turn(
    calls: Sequence[Callable[[], object]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Times of each call; they take turns, so that a busy moment of the machine falls on all."""
    for call in 2 * list(calls):
        seconds(call, device)  # warm up: memory is first touched, and the allocator settles
    rounds = [[seconds(call, device) for call in calls] for _ in range(repeats)]
    return [list(times) for times in zip(*rounds, strict=True)]


def matmul(rows: int, n_in: int, n_out: int, like: Tensor) -> tuple[Callable[[], Tensor], float]:
    """A product of the shape a linear layer has, and its operations."""
    a = torch.randn(rows, n_in, dtype=like.dtype, device=like.device)
    b = torch.randn(n_out, n_in, dtype=like.dtype, device=like.device)
    return partial(F.linear, a, b), 2.0 * rows * n_in * n_out


def median_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def bench_tower(config: ImageBindConfig, tower: Tower, repeats: int, device: torch.device) -> str:
    """One row of the table for each precision."""
    facts = work(config, tower)
    batch = max(MIN_BATCH, min(MAX_BATCH, round(PASS_FLOP / facts.flop)))
    model = ImageBind(config, towers=[tower]).eval().to(device)
    plain = nn.Sequential(*(PlainBlock(facts.trunk) for _ in range(facts.trunk.n_blocks)))
    plain = plain.eval().to(device)
    rows, whole = [], 0.0
    for dtype in PRECISIONS:
        model, plain = model.to(dtype), plain.to(dtype)
        x = example(config, facts, batch).to(device)
        tokens = torch.randn(batch, facts.tokens, facts.trunk.dim, device=device, dtype=dtype)
        products = [matmul(batch * n, n_in, n_out, tokens) for n, n_in, n_out in facts.matmuls]

        calls: list[Callable[[], object]] = [
            partial(model, facts.modality, x),
            partial(plain, tokens),
            *(call for call, _ in products),
        ]
        ours, theirs, *times = in_turn(calls, repeats, device)
        speeds = [
            max(flop / t for (_, flop), t in zip(products, turn, strict=True))
            for turn in zip(*times, strict=True)
        ]  # FLOP/s of the fastest product of each turn
        rate = batch / statistics.median(ours)
        share = statistics.median(
            batch * facts.flop / t / speed for t, speed in zip(ours, speeds, strict=True)
        )
        whole = whole or rate
        name = str(dtype).removeprefix("torch.")
        rows.append(
            f"{tower:<8}{name:<9}{batch:>6}{facts.flop / 1e9:>9.2f}{rate:>10.2f}"
            f"{statistics.median(speeds) / 1e9:>9.0f}{share:>8.2f}"
            f"{median_ratio(theirs, ours):>9.2f}{rate / whole:>9.2f}"
        )
    return "\n".join(rows)


def example(config: ImageBindConfig, facts: Work, batch: int) -> Tensor:
    """Random items; texts fill all their tokens."""
    if facts.modality is not Modality.TEXT:
        return torch.randn(batch, *facts.item)
    assert config.text is not None
    return texts(config.text, [facts.tokens] * batch)


def texts(config: TextConfig, lengths: Sequence[int]) -> Tensor:
    """Random token ids, closed at the lengths given and padded with zeros."""
    ids = torch.zeros(len(lengths), config.n_tokens, dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[: length - 1] = torch.randint(1, config.vocab_size - 1, (length - 1,))
        row[length - 1] = config.vocab_size - 1
    return ids


def bench_short_texts(config: ImageBindConfig, repeats: int, device: torch.device) -> str:
    """How much cheaper texts of a few tokens are than ones that fill the context."""
    assert config.text is not None
    facts = work(config, Tower.TEXT)
    model = ImageBind(config, towers=[Tower.TEXT]).eval().to(device)
    batch = max(TEXT_BATCH, min(MAX_BATCH, round(PASS_FLOP / facts.flop)))
    low, high = SHORT_TOKENS
    lengths = [low + i % (high - low + 1) for i in range(batch)]
    short, full = texts(config.text, lengths), texts(config.text, [facts.tokens] * batch)
    times = in_turn(
        [partial(model, Modality.TEXT, ids.to(device)) for ids in (short, full)], repeats, device
    )
    rates = [batch / statistics.median(t) for t in times]
    return (
        f"texts of {low} to {high} tokens: {rates[0]:.1f} items/s; of {facts.tokens}: "
        f"{rates[1]:.1f}; {median_ratio(times[1], times[0]):.1f} times as fast"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=(*SIZES, "both"), default="both")
    parser.add_argument("--towers", nargs="+", type=Tower, choices=list(Tower), default=list(Tower))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    args = parser.parse_args()
    where = platform.processor() or platform.machine()
    print(f"torch {torch.__version__}, {args.device} ({where}), {torch.get_num_threads()} threads")
    print("share: of the fastest matrix product of the tower's shapes; plain: times as fast as")
    print("blocks around nn.MultiheadAttention alone; fp32: times as fast as in fp32\n")
    torch.manual_seed(0)
    with torch.inference_mode():
        for size in SIZES if args.size == "both" else (args.size,):
            config = SIZES[size]()
            print(
                f"imagebind-{size}\n{'tower':<8}{'dtype':<9}{'batch':>6}{'GFLOP':>9}{'items/s':>10}"
                f"{'GFLOP/s':>9}{'share':>8}{'plain':>9}{'fp32':>9}"
            )
            for tower in config.towers:
                if tower in args.towers:
                    print(bench_tower(config, tower, args.repeats, args.device), flush=True)
            if config.text is not None and Tower.TEXT in args.towers:
                print(bench_short_texts(config, args.repeats, args.device))
            print()


if __name__ == "__main__":
    main()
