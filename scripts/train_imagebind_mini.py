"""Train the weights that anybind ships: ``encoders/imagebind_mini.safetensors``, from nothing.

As ImageBind's paper does it: image and text contrastively (https://arxiv.org/abs/2305.05665, eq. 1,
symmetric), on scenes of :mod:`anybind.world`. Run it again after it was stopped and it continues;
the random numbers of a step depend on the seed and the step alone, so the result does not change.

    python scripts/train_imagebind_mini.py --export encoders/imagebind_mini.safetensors
"""

import argparse
import csv
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from tqdm import tqdm

from anybind.encoders.config import imagebind_mini
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.images import normalise_images
from anybind.encoders.modality import Modality, Tower
from anybind.encoders.text import TextPreprocessor, Tokenizer
from anybind.encoders.towers import TextTower
from anybind.encoders.weights import save_weights
from anybind.world.captions import captions
from anybind.world.render import render_batch
from anybind.world.scene import scene
from anybind.world.splits import split_ids

CHUNK = 2000  # scenes rendered between two writes, so that rendering resumes too
TEXT_GROUP = 64  # texts of like length encoded together


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the weights depend on; stored with every checkpoint and compared on resume."""

    seed: int = 0
    n_scenes: int = 60_000  # different training scenes
    n_samples: int = 1_200_000  # images seen in all
    batch: int = 256
    lr: float = 1e-3  # peak
    weight_decay: float = 0.1  # of matrices
    warmup: float = 0.04  # share of the steps
    keep: float = 0.5  # share of patches the image tower sees (FLIP) ...
    whole: float = 0.1  # ... but for the last share of the steps, which see all
    easy: float = 0.17  # first share of the steps, whose batches are random; later ones are made of
    alike: int = 64  # scenes at a time that have place and colour in common,
    reminder: int = 3  # but for every third, which is random, so that those two stay in mind
    zoom: float = 0.15  # augmentation: scale 1 +- zoom,
    shift: float = 0.08  # shift of the picture, in its sides,
    light: float = 0.15  # and brightness 1 +- light
    chinese: float = 0.15  # share of captions in Chinese
    max_tokens: int = 48  # longer captions are left out, where a scene has shorter ones

    @property
    def steps(self) -> int:
        return self.n_samples // self.batch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/imagebind-mini"))
    parser.add_argument("--export", type=Path, help="write the finished weights there (fp16)")
    parser.add_argument("--scenes", type=int, default=Settings.n_scenes)
    parser.add_argument("--samples", type=int, default=Settings.n_samples)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0)
    args = parser.parse_args()
    settings = Settings(seed=args.seed, n_scenes=args.scenes, n_samples=args.samples)
    model = train(settings, args.out, args.device, args.checkpoint_minutes)
    if args.export:
        save_weights(
            model, args.export, dtype="fp16", notes={"trained": json.dumps(asdict(settings))}
        )
        print(f"{args.export}: {args.export.stat().st_size:,} bytes", file=sys.stderr)


def train(settings: Settings, out: Path, device: str, checkpoint_minutes: float) -> ImageBind:
    """Train to the end, from the last checkpoint in ``out`` if there is one."""
    out.mkdir(parents=True, exist_ok=True)
    texts = Captions(settings)
    batches = Batches(settings)
    config = imagebind_mini(texts.kept)
    assert config.vision is not None
    pictures = render_scenes(out, settings.n_scenes, config.vision.size)
    torch.manual_seed(settings.seed)
    model = ImageBind(config, towers=[Tower.VISION, Tower.TEXT]).to(device)
    text_tower = model.towers[Tower.TEXT]
    assert isinstance(text_tower, TextTower)
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), betas=(0.9, 0.98), fused=True)
    first = resume(out / "checkpoint.pt", settings, model, optimizer)
    log = Log(out / "log.csv", first)
    saved = time.monotonic()
    bar = tqdm(range(first, settings.steps), initial=first, total=settings.steps, unit=" steps")
    model.train()
    for step in bar:
        lr = schedule(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr
        rng = np.random.default_rng([settings.seed, step])
        torch.manual_seed(int(rng.integers(2**62)))
        rows = batches.rows(step)
        images = augment(
            torch.from_numpy(normalise_images(pictures[rows])).to(device), settings, rng
        )
        ids, same = texts.batch(rows, rng)
        whole = step >= settings.steps * (1 - settings.whole)
        vectors = model(Modality.IMAGE, images, keep=1.0 if whole else settings.keep)
        words = encode_texts(model, torch.from_numpy(ids).to(device))
        scale = torch.as_tensor(text_tower.scale())
        loss = contrastive(vectors, words, scale, torch.from_numpy(same).to(device))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"the loss is {loss.item()} at step {step}; lower lr and start anew")
        bar.set_postfix(loss=f"{loss.item():.3f}", scale=f"{scale.item():.0f}", lr=f"{lr:.1e}")
        log.write(step, loss.item(), scale.item(), lr)
        if time.monotonic() - saved > 60 * checkpoint_minutes or step + 1 == settings.steps:
            save(out / "checkpoint.pt", settings, step + 1, model, optimizer)
            saved = time.monotonic()
    return model.eval()


def encode_texts(model: ImageBind, ids: torch.Tensor) -> torch.Tensor:
    """Encode token ids ``(B, n)`` in groups of like length: a group costs its longest row."""
    order = ids.argmax(1).argsort()
    parts = [model(Modality.TEXT, ids[group]) for group in torch.split(order, TEXT_GROUP)]
    return torch.cat(parts)[order.argsort()]


def contrastive(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, same: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE over a batch.

    Args:
        images: Unit rows ``(B, dim)``.
        texts: Unit rows ``(B, dim)``.
        scale: Inverse temperature.
        same: bool ``(B, B)``: captions that say the same are positives of each other's images, and
            share the target evenly (without this, equal captions would push each other away).
    """
    target = same.float() / same.sum(1, keepdim=True)
    logits = scale * images @ texts.T
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def augment(images: torch.Tensor, settings: Settings, rng: np.random.Generator) -> torch.Tensor:
    """Zoom, shift and lighten each picture of ``(B, 3, S, S)`` at random; nothing is mirrored,
    because captions say left and right."""
    n = len(images)
    zoom = 1 + rng.uniform(-settings.zoom, settings.zoom, n)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta[:, :, 2] = rng.uniform(-2 * settings.shift, 2 * settings.shift, (n, 2))
    grid = F.affine_grid(
        torch.from_numpy(theta).to(images), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    light = 1 + rng.uniform(-settings.light, settings.light, (n, 1, 1, 1)).astype(np.float32)
    return moved * torch.from_numpy(light).to(images)


class Captions:
    """The captions of the training scenes as token ids, and the vocabulary they need.

    ``kept`` are the ids of CLIP's vocabulary that occur in any of them; the embedding rows of all
    others would never be trained and are left out of the shipped weights.
    """

    def __init__(self, settings: Settings) -> None:
        self._chinese = settings.chinese
        numbers: dict[str, int] = {}
        contents: dict[object, int] = {}
        scenes: list[int] = []
        self._rows: list[dict[str, list[int]]] = []  # scene -> language -> text numbers
        for number in tqdm(split_ids("train", settings.n_scenes), unit=" captions", leave=False):
            found: dict[str, list[int]] = {"en": [], "zh": []}
            of = scene(number)
            for caption in captions(of):
                found[caption.language].append(numbers.setdefault(caption.text, len(numbers)))
            self._rows.append(found)
            things = frozenset((o.category, o.colour) for o in of.objects)
            scenes.append(contents.setdefault((of.place, of.relation, things), len(contents)))
        self._scenes = np.array(scenes)  # equal numbers for scenes that hold the same
        self.kept = Tokenizer().ids_used(numbers)
        encode = TextPreprocessor(kept=self.kept)
        self._ids = np.stack([encode(text) for text in tqdm(numbers, unit=" texts", leave=False)])
        lengths = self._ids.argmax(1) + 1
        for found in self._rows:
            for language, texts in found.items():
                short = [text for text in texts if lengths[text] <= settings.max_tokens]
                found[language] = short or [min(texts, key=lengths.__getitem__)]

    def batch(
        self, rows: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """One caption a scene: token ids ``(B, n_tokens)``, and which of them say the same.

        They do when they are equal, or when their scenes hold equal things in equal places.
        """
        picked = np.empty(len(rows), np.int64)
        for i, row in enumerate(rows):
            choices = self._rows[row]["zh" if rng.random() < self._chinese else "en"]
            picked[i] = choices[rng.integers(len(choices))]
        scenes = self._scenes[rows]
        same = (picked[:, None] == picked) | (scenes[:, None] == scenes)
        return self._ids[picked], same


def render_scenes(out: Path, n_scenes: int, size: int) -> npt.NDArray[np.uint8]:
    """The training pictures ``(n, size, size, 3)``, rendered once and mapped from disk."""
    path, done = out / f"scenes_{n_scenes}_{size}.npy", out / f"scenes_{n_scenes}_{size}.done"
    first = int(done.read_text()) if done.exists() else 0
    pictures = np.lib.format.open_memmap(
        path, "r+" if first else "w+", np.uint8, (n_scenes, size, size, 3)
    )
    ids = split_ids("train", n_scenes)
    for start in tqdm(range(first, n_scenes, CHUNK), unit=f" x {CHUNK} scenes", desc="render"):
        chunk = ids[start : start + CHUNK]
        pictures[start : start + len(chunk)] = render_batch(
            chunk, size, workers=os.cpu_count() or 1
        )
        pictures.flush()
        done.write_text(str(start + len(chunk)))
    return pictures


class Batches:
    """Which scenes a step sees; every epoch visits all of them in an order of its own.

    Place and colour are learnt first and tell most scenes of a random batch apart, so categories
    hardly matter there. Later, most batches are made of runs of scenes that are alike in both: what
    remains to tell them apart is the category.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        scenes = map(scene, split_ids("train", settings.n_scenes))
        keys = [(s.place, s.objects[0].colour) for s in scenes]
        self._groups = [
            np.array([row for row, key in enumerate(keys) if key == wanted])
            for wanted in sorted(set(keys))
        ]

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        """The scenes of a step, by their position among the training scenes."""
        settings = self._settings
        alike = step >= settings.steps * settings.easy and step % settings.reminder != 0
        order = self._order(step * settings.batch // settings.n_scenes, alike)
        at = step % (len(order) // settings.batch)
        return order[at * settings.batch : (at + 1) * settings.batch]

    @lru_cache(maxsize=2)  # noqa: B019 (one object a process)
    def _order(self, epoch: int, alike: bool) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([self._settings.seed, 1, epoch])
        if not alike:
            return rng.permutation(self._settings.n_scenes)
        run = self._settings.alike
        shuffled = [rng.permutation(group) for group in self._groups]
        runs = np.concatenate([g[: len(g) // run * run].reshape(-1, run) for g in shuffled])
        return rng.permutation(runs).reshape(-1)


def schedule(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warmup = max(1, int(settings.warmup * settings.steps))
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(model: ImageBind, settings: Settings) -> list[dict[str, object]]:
    """Weight decay for matrices; none for norms, biases, tokens, positions and scales."""
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and n.endswith("weight")]
    chosen = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def save(
    path: Path, settings: Settings, step: int, model: ImageBind, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint beside the last one, then replace it."""
    state = {
        "settings": asdict(settings),
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def resume(
    path: Path, settings: Settings, model: ImageBind, optimizer: torch.optim.Optimizer
) -> int:
    """The step to continue at, with model and optimizer as they were then."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != asdict(settings):
        raise SystemExit(f"{path} was made with {state['settings']}; choose another --out")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


class Log:
    """``log.csv``: one row a step; rows after the checkpoint that is resumed are dropped."""

    HEAD = ("step", "loss", "scale", "lr", "seconds")

    def __init__(self, path: Path, first: int) -> None:
        rows: list[list[str]] = []
        if first and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.reader(file)][1 : first + 1]
        self._before = float(rows[-1][4]) if rows else 0.0
        self._started = time.monotonic()
        self._file = path.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerows([self.HEAD, *rows])

    def write(self, step: int, loss: float, scale: float, lr: float) -> None:
        """Append one step."""
        seconds = self._before + time.monotonic() - self._started
        self._csv.writerow((step, f"{loss:.5f}", f"{scale:.3f}", f"{lr:.3e}", f"{seconds:.1f}"))
        self._file.flush()


if __name__ == "__main__":
    main()
