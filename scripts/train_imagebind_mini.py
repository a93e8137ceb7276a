"""Train the weights that anybind ships: ``encoders/imagebind_mini.safetensors``, from nothing.

As ImageBind's paper does it (https://arxiv.org/abs/2305.05665, section 3): image and text
contrastively first; then, with the image tower frozen, each other tower against images alone.
No sound, cloud, depth map, heat image or motion ever meets a text, nor each other. Everything is
made from scenes of :mod:`anybind.world`. Run it again after it was stopped and it continues.

    python scripts/train_imagebind_mini.py --export encoders/imagebind_mini.safetensors

Some towers anew, the rest as they are in a finished file:

    python scripts/train_imagebind_mini.py --start encoders/imagebind_mini.safetensors \\
        --towers points imu --export new.safetensors
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from gallery import embed, single_object_scenes
from loop import Schedule, fast_precision, finished, fit, resume
from safetensors import safe_open
from torch import Tensor, nn
from training_set import Augmentation, Batches, Captions, media_on_disk, move

from anybind.encoders.config import imagebind_mini
from anybind.encoders.encoder import load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.images import normalise_images
from anybind.encoders.modality import TOWER_OF, Modality, Tower
from anybind.encoders.preprocess import preprocessor_of
from anybind.encoders.towers import TextTower, VisionTower
from anybind.encoders.weights import load_weights, read_config, save_weights
from anybind.world.scene import Scene, scene
from anybind.world.shapes import rotation_matrices
from anybind.world.splits import split_ids

IMAGE_TEXT = "image-text"  # name of the first stage
VOCABULARY = "vocabulary.json"  # ids of CLIP's vocabulary that the captions use
TEXT_GROUP = 64  # texts of like length encoded together
ENCODE_BATCH = 250  # pictures embedded at once
CENTRE_SCENES = 1000  # of the validation split, whose mean vector is a modality's centre


@dataclass(frozen=True, kw_only=True)
class Partial(Schedule):
    """A stage whose tower sees a part of each item for most of the time (FLIP), which is faster."""

    keep: float = 1.0  # share of an image's patches, or of a cloud's groups, that is seen ...
    whole: float = 0.1  # ... but for the last share of the steps, which see all

    def keep_at(self, step: int) -> float:
        """The share that a step sees."""
        return 1.0 if step >= self.steps * (1 - self.whole) else self.keep


@dataclass(frozen=True, kw_only=True)
class ImageText(Partial):
    """The first stage: images and captions."""

    n_scenes: int = 60_000  # different training scenes
    n_samples: int = 1_100_000
    keep: float = 0.5
    whole: float = 0.08
    alike: int = 64  # scenes at a time that have place and colour in common
    reminder: int = 3  # every third batch is random
    chinese: float = 0.15  # share of captions in Chinese


@dataclass(frozen=True, kw_only=True)
class ToImages(Partial):
    """A later stage: one tower against the frozen image tower."""

    n_scenes: int = 60_000
    n_samples: int = 600_000
    scale: float = 20.0  # inverse temperature, fixed
    anchors: str = ""  # fingerprint of the image vectors


Stage = TypeVar("Stage", ImageText, ToImages)

STAGES: Mapping[Tower, ToImages] = {
    Tower.AUDIO: ToImages(n_scenes=40_000, n_samples=500_000),
    Tower.DEPTH: ToImages(n_scenes=40_000, n_samples=500_000),
    Tower.POINTS: ToImages(n_scenes=30_000, n_samples=300_000, keep=0.5),
    Tower.THERMAL: ToImages(n_scenes=30_000, n_samples=600_000),
    Tower.IMU: ToImages(n_scenes=20_000, n_samples=200_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/imagebind-mini"))
    parser.add_argument("--export", type=Path, help="write the finished weights there (fp16)")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="finished weights: take every tower from there that --towers does not name",
    )
    parser.add_argument(
        "--towers",
        nargs="*",
        default=[str(tower) for tower in STAGES],
        choices=[str(tower) for tower in STAGES],
        help="train these, after image and text if there is no --start; default: all",
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the samples, to try it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default=fast_precision(), choices=["fp32", "bf16"])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    def adapt(stage: Stage) -> Stage:
        samples = int(stage.n_samples * args.share)
        return replace(stage, seed=args.seed, n_samples=samples, precision=args.precision)

    torch.manual_seed(args.seed)
    anew = [Tower(name) for name in args.towers]
    settings: dict[str, object]
    if args.start:
        model, settings = finished_towers(args.start, anew)
        model.to(args.device)
        n_pictures = max(STAGES[tower].n_scenes for tower in anew)
        exported = [Tower(name) for name in model.towers]
    else:
        first = adapt(ImageText())
        captions = None if finished(first, args.out, IMAGE_TEXT) else read_captions(first, args.out)
        kept = tuple(json.loads((args.out / VOCABULARY).read_text()))
        model = ImageBind(imagebind_mini(kept)).to(args.device)
        train_image_text(model, first, captions, args.out)
        settings = {IMAGE_TEXT: asdict(first)}
        n_pictures = first.n_scenes
        exported = [Tower.VISION, Tower.TEXT, *anew]
    for tower in anew:
        stage = adapt(STAGES[tower])
        anchors = image_vectors(model, n_pictures, args.out)[: stage.n_scenes]
        settings[tower] = train_to_images(model, tower, stage, anchors, args.out)
    if args.export:
        export(model, exported, settings, args)


def finished_towers(path: Path, anew: Sequence[Tower]) -> tuple[ImageBind, dict[str, object]]:
    """A network with the towers of a weight file, but for those to be trained anew; and how they
    were trained."""
    config = read_config(path)
    found, model = ImageBind(config), ImageBind(config)
    load_weights(found, path)
    for tower in set(Tower) - set(anew):
        model.towers[tower] = found.towers[tower]
    with safe_open(path, framework="pt") as file:
        notes = json.loads(file.metadata()["trained"])
    return model.eval(), notes


def training_scenes(n: int) -> list[Scene]:
    return [scene(number) for number in split_ids("train", n)]


def read_captions(stage: ImageText, out: Path) -> Captions:
    """The training captions; the ids of CLIP's vocabulary that they need are kept in a file."""
    captions = Captions(training_scenes(stage.n_scenes), stage.chinese)
    (out / VOCABULARY).write_text(json.dumps(captions.kept))
    return captions


def as_pixels(item: object) -> npt.NDArray[np.uint8]:
    """A rendered picture as it is: training normalises when it reads."""
    return np.asarray(item, np.uint8)


def pictures(n_scenes: int, size: int, out: Path) -> npt.NDArray[np.uint8]:
    """The training pictures ``(n, size, size, 3)``."""
    scenes = training_scenes(n_scenes)
    made = media_on_disk(Modality.IMAGE, as_pixels, scenes, out, size=size, dtype=np.uint8)
    return made.astype(np.uint8, copy=False)


# --------------------------------------------------------------------------- image and text


def train_image_text(
    model: ImageBind, stage: ImageText, captions: Captions | None, out: Path
) -> None:
    """Train the vision and the text tower on each other; without captions, take them trained."""
    vision = model.towers[Tower.VISION]
    text = model.towers[Tower.TEXT]
    assert isinstance(vision, VisionTower) and isinstance(text, TextTower)
    both = nn.ModuleList([vision, text])
    if captions is None:
        resume(both, stage, out, IMAGE_TEXT)
        return
    device = next(model.parameters()).device
    seen = pictures(stage.n_scenes, vision.config.size, out)
    batches = Batches(
        training_scenes(stage.n_scenes),
        stage.batch,
        stage.seed,
        alike=stage.alike,
        reminder=stage.reminder,
    )

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = batches.rows(step)
        images = torch.from_numpy(normalise_images(seen[rows])).to(device)
        ids, same = captions.batch(rows, rng)
        moved = move(images, Augmentation(), rng)
        vectors = model(Modality.IMAGE, moved, keep=stage.keep_at(step))
        words = encode_texts(model, torch.from_numpy(ids).to(device))
        scale = torch.as_tensor(text.scale())
        loss = contrastive(vectors, words, scale, torch.from_numpy(same).to(device))
        return loss, {"scale": scale.item()}

    fit(both, stage, loss_of, out, name=IMAGE_TEXT)


def encode_texts(model: ImageBind, ids: Tensor) -> Tensor:
    """Encode token ids ``(B, n)`` in groups of like length: a group costs its longest row."""
    order = ids.argmax(1).argsort()
    parts = [model(Modality.TEXT, ids[group]) for group in torch.split(order, TEXT_GROUP)]
    return torch.cat(parts)[order.argsort()]


def contrastive(a: Tensor, b: Tensor, scale: Tensor | float, same: Tensor) -> Tensor:
    """Symmetric InfoNCE over a batch.

    Args:
        a: Unit rows ``(B, dim)``.
        b: Unit rows ``(B, dim)``.
        scale: Inverse temperature.
        same: bool ``(B, B)``: pairs that are positives, and share the target evenly (without this,
            equal captions would push each other away).
    """
    target = same.float() / same.sum(1, keepdim=True)
    with torch.autocast(a.device.type, enabled=False):
        logits = scale * a.float() @ b.float().T
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


# --------------------------------------------------------------------------- the other towers


def train_to_images(
    model: ImageBind, tower: Tower, stage: ToImages, anchors: Tensor, out: Path
) -> dict[str, object]:
    """Train a tower on pairs of a medium and the frozen image tower's vector of the same scene,
    one of ``anchors`` ``(n_scenes, dim)``.

    Returns:
        The settings it was trained with.
    """
    modality = next(m for m in Modality if TOWER_OF[m] is tower)
    device = next(model.parameters()).device
    stage = replace(stage, anchors=f"{float(anchors.double().square().sum()):.6f}")
    scenes = training_scenes(stage.n_scenes)
    prepare = preprocessor_of(model.config, modality, reference=False)
    size = getattr(getattr(model.config, tower), "size", 96)
    media = media_on_disk(modality, prepare, scenes, out, size=size, dtype=np.float16)
    batches = Batches(scenes, stage.batch, stage.seed)
    vary = VARIED[tower]
    same = torch.eye(stage.batch, dtype=torch.bool, device=device)

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = batches.rows(step)
        items = torch.from_numpy(media[rows].astype(np.float32)).to(device)
        vectors = model(modality, vary(items, rng), keep=stage.keep_at(step))
        return contrastive(vectors, anchors[rows].to(device), stage.scale, same), {}

    fit(model.towers[tower], stage, loss_of, out, name=str(tower))
    return asdict(stage)


@torch.inference_mode()
def image_vectors(model: ImageBind, n_scenes: int, out: Path) -> Tensor:
    """The frozen image tower's unit vectors of the training scenes, ``(n, dim)``."""
    assert model.config.vision is not None
    path = out / f"anchors_{n_scenes}.pt"
    if not path.exists():
        seen = pictures(n_scenes, model.config.vision.size, out)
        model.eval()
        device = next(model.parameters()).device
        parts = [
            model(Modality.IMAGE, torch.from_numpy(normalise_images(seen[at])).to(device)).cpu()
            for at in np.split(np.arange(n_scenes), range(ENCODE_BATCH, n_scenes, ENCODE_BATCH))
        ]
        torch.save(torch.cat(parts), path)
    vectors: Tensor = torch.load(path, weights_only=True)
    return vectors


def vary_sound(clips: Tensor, rng: np.random.Generator) -> Tensor:
    """One clip of each ``(B, clips, 1, n_mels, n_frames)``, louder or softer, with bands and
    moments masked (SpecAugment, https://arxiv.org/abs/1904.08779)."""
    n, n_clips = clips.shape[:2]
    picked = clips[torch.arange(n), torch.from_numpy(rng.integers(n_clips, size=n))]
    gain = torch.from_numpy(rng.normal(0, 0.15, (n, 1, 1, 1))).to(picked)
    varied = picked + gain
    _, _, bands, moments = varied.shape
    rest = varied.mean(dim=(1, 2, 3), keepdim=True)
    for axis, length, widest in ((2, bands, bands // 6), (3, moments, moments // 6)):
        width = rng.integers(0, widest + 1, n)
        start = rng.integers(0, length - width)
        at = np.arange(length)
        hidden = (at >= start[:, None]) & (at < (start + width)[:, None])
        shape = (n, 1, length, 1) if axis == 2 else (n, 1, 1, length)
        varied = torch.where(
            torch.from_numpy(hidden.reshape(shape)).to(varied.device), rest, varied
        )
    return varied


def vary_map(maps: Tensor, rng: np.random.Generator) -> Tensor:
    """Depth and heat, as pictures are varied."""
    return move(maps, Augmentation(), rng)


def vary_motion(samples: Tensor, rng: np.random.Generator) -> Tensor:
    """Each recording ``(B, 6, n)`` by a sensor mounted otherwise, a little stronger or weaker, from
    another moment on."""
    n, _, length = samples.shape
    gain = torch.from_numpy(rng.normal(1, 0.1, (n, 1, 1))).to(samples)
    start = int(rng.integers(length))
    turned = turn_anyhow(samples.view(n, 2, 3, length).transpose(2, 3), rng)
    return torch.roll(turned.transpose(2, 3).reshape(n, 6, length), start, dims=2) * gain


def vary_cloud(points: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn each cloud ``(B, n, 3)`` anyhow, stretch and jitter it, as scans differ."""
    n = len(points)
    turned = turn_anyhow(points[:, None], rng)[:, 0]
    turned = turned * torch.from_numpy(rng.uniform(0.9, 1.1, (n, 1, 3))).to(points)
    turned = turned + torch.from_numpy(rng.normal(0, 0.01, points.shape)).to(points)
    radius: Tensor = turned.norm(dim=2, keepdim=True).amax(dim=1, keepdim=True)
    return turned / radius


def turn_anyhow(vectors: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn each item of ``(B, n, m, 3)`` by a rotation of its own, every one of which is as likely;
    in the precision of the vectors, also where products are in another."""
    quaternions = rng.standard_normal((len(vectors), 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    turns = torch.from_numpy(rotation_matrices(quaternions)).to(vectors)
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors @ turns[:, None]


VARIED: Mapping[Tower, Callable[[Tensor, np.random.Generator], Tensor]] = {
    Tower.AUDIO: vary_sound,
    Tower.DEPTH: vary_map,
    Tower.THERMAL: vary_map,
    Tower.IMU: vary_motion,
    Tower.POINTS: vary_cloud,
}


# --------------------------------------------------------------------------------------- export


def export(
    model: ImageBind,
    towers: list[Tower],
    settings: Mapping[str, object],
    args: argparse.Namespace,
) -> None:
    """Write the weights, with how they were trained and each modality's mean vector."""
    kept = ImageBind(model.config, towers)
    kept.towers.load_state_dict(
        {
            name: value
            for name, value in model.towers.state_dict().items()
            if name.split(".")[0] in towers
        }
    )
    notes = {"trained": json.dumps(settings)}
    save_weights(kept, args.export, dtype="fp16", notes=notes)
    encoder = load_encoder(args.export, device=args.device)
    scenes = single_object_scenes(CENTRE_SCENES, split="validation")
    centres = {
        str(modality): embed(encoder, modality, scenes, cache=None).mean(axis=0).tolist()
        for modality in Modality
        if TOWER_OF[modality] in towers
    }
    notes["centres"] = json.dumps(centres)
    save_weights(kept, args.export, dtype="fp16", notes=notes)
    print(f"{args.export}: {args.export.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
