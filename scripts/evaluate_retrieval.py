"""How well imagebind-mini retrieves: unseen queries of every modality, unseen images of the world.

A hit is right when it contains the query's category (for motion, one that moves as the query does).
Beside each row stand what guessing reaches, and what the raw medium reaches as a vector, searched
among the same scenes' media of its own kind (a video's mean frame among pictures); where that does
well, the world is too easy.

    python scripts/evaluate_retrieval.py
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gallery import (
    SEED_STRIDE,
    Gallery,
    embed,
    evaluation_parser,
    holds,
    map_media,
    single_object_scenes,
)
from tqdm import tqdm

from anybind.cores import available_cores
from anybind.encoders.audio import AudioPreprocessor
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.media import Floats, Frames, Motion
from anybind.encoders.modality import TOWER_OF, Modality, Vectors
from anybind.world.captions import caption
from anybind.world.categories import CATEGORY_NAMES
from anybind.world.motion import GRAVITY, MOTION_OF
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

Halves = npt.NDArray[np.float16]

K = 10
RAW_SIDE = 32  # pixels a side of raw pictures
RAW_STEP = 10  # samples of motion averaged
RAW_CELLS = 12  # of a raw cloud's grid, a side


class Figures(NamedTuple):
    """One row of the table; shares from 0 to 1."""

    p1: float
    p10: float
    colour: float | None  # P@1; None where the medium has no colour
    two: float | None  # P@1 of queries with two objects: either may be found
    raw: float | None  # P@1 of the raw medium
    chance: float


def main() -> None:
    parser = evaluation_parser(__doc__, queries=2_000)
    parser.add_argument(
        "--no-raw", dest="raw", action="store_false", help="leave out the raw baselines"
    )
    parser.add_argument(
        "--modality",
        type=Modality,
        nargs="+",
        default=list(Modality),
        metavar="NAME",
        help="rows of these only",
    )
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    evaluation = Evaluation(encoder, args)
    print(
        f"{encoder.name}: {args.queries:,} unseen queries of each kind, {args.images:,} unseen "
        f"images, seed {args.seed}\n"
    )
    tables = {
        "retrieval": evaluation.retrieval(),
        "emergent": evaluation.emergent(),
        "compositional": evaluation.compositional(),
        "instances": evaluation.instances(),
    }
    for table in tables.values():
        if table.rows:
            print(table, end="\n\n")
    if args.json:
        facts = {name: asdict(table) for name, table in tables.items()}
        args.json.write_text(json.dumps({"seed": args.seed, **facts}, indent=1) + "\n")


@dataclass(frozen=True)
class Table:
    """Rows under a head, as Markdown."""

    head: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]

    def __str__(self) -> str:
        lines = ["| " + " | ".join(self.head) + " |", "| " + "--- | " * len(self.head)]
        for name, row in self.rows.items():
            cells = ["–" if value is None else f"{value:.3f}" for value in row]
            lines.append("| " + " | ".join([name, *cells]) + " |")
        return "\n".join(line.rstrip() for line in lines)


class Evaluation:
    """The tables; vectors that several need are kept on disk by :mod:`gallery`."""

    def __init__(self, encoder: Encoder, args: argparse.Namespace) -> None:
        self.encoder, self.cache, self.raw = encoder, args.cache, args.raw
        self.modalities = [m for m in args.modality if TOWER_OF[m] in encoder.config.towers]
        offset, self.queries = SEED_STRIDE * args.seed, args.queries
        self.index = [scene(number) for number in split_ids("test", args.images, offset=offset)]
        after = offset + args.images
        self.single = single_object_scenes(args.queries, offset=after)
        later = map(scene, split_ids("test", 10 * args.queries, offset=after))
        self.double = [of for of in later if len(of.objects) == 2][: args.queries]
        self.images = self.embed(Modality.IMAGE, self.index)

    def embed(self, modality: Modality, scenes: Sequence[Scene]) -> Vectors:
        return embed(self.encoder, modality, scenes, cache=self.cache)

    def retrieval(self) -> Table:
        """Category P@1 from every modality to images, and to two indices of other modalities."""
        rows = {}
        for modality in tqdm(self.modalities, unit=" modality"):
            rows[f"{modality} → image"] = self._row(modality, self.images, self.index)
        if Modality.TEXT in self.modalities:
            chinese = self.encoder.encode("text", [caption(of, "zh") for of in self.single])
            rows["Chinese text → image"] = Figures(
                *precision(chinese, self.images, self.single, self.index, category)[:2],
                precision(chinese, self.images, self.single, self.index, colour)[0],
                None,
                None,
                chance(self.single, self.index, category),
            )
        if Modality.AUDIO in self.modalities:
            sounds = self.embed(Modality.AUDIO, self.index)
            rows["text → audio"] = self._row(Modality.TEXT, sounds, self.index, to=Modality.AUDIO)
        if Modality.POINTS in self.modalities:
            clouds = self.embed(Modality.POINTS, self.index)
            rows["image → points"] = self._row(
                Modality.IMAGE, clouds, self.index, to=Modality.POINTS
            )
        head = ("query", "P@1", "P@10", "colour P@1", "two objects P@1", "raw P@1", "chance")
        return Table(head, {name: tuple(row) for name, row in rows.items()})

    def _row(
        self,
        modality: Modality,
        vectors: Vectors,
        index: Sequence[Scene],
        to: Modality = Modality.IMAGE,
    ) -> Figures:
        answer = motion if modality is Modality.IMU else category
        queries = self.embed(modality, self.single)
        pairs = self.embed(modality, self.double)
        p1, p10 = precision(queries, vectors, self.single, index, answer)
        coloured = to is Modality.IMAGE and modality in COLOURED
        return Figures(
            p1,
            p10,
            precision(queries, vectors, self.single, index, colour)[0] if coloured else None,
            precision(pairs, vectors, self.double, index, answer)[0],
            self._raw(modality, answer) if to is Modality.IMAGE else None,
            chance(self.single, index, answer),
        )

    def _raw(self, modality: Modality, answer: "Answers") -> float | None:
        """What the nearest raw medium of the same kind reaches."""
        if not self.raw or modality is Modality.TEXT:
            return None
        of_pixels = modality is Modality.VIDEO  # whose mean frame is a picture
        kept = raw_vectors(Modality.IMAGE if of_pixels else modality, self.index, self.cache)
        asked = raw_vectors(modality, self.single, self.cache)
        return precision(asked, kept, self.single, self.index, answer)[0]

    def emergent(self) -> Table:
        """Which of the categories' names is nearest, for modalities that never met a text."""
        names = self.encoder.encode("text", [f"a {name}" for name in CATEGORY_NAMES])
        rows: dict[str, tuple[float | None, ...]] = {}
        for modality in self.modalities:
            if modality in (Modality.TEXT, Modality.IMU):
                continue
            nearest = (self.embed(modality, self.single) @ names.T).argmax(axis=1)
            right = [
                CATEGORY_NAMES[place] == of.objects[0].category
                for place, of in zip(nearest, self.single, strict=True)
            ]
            rows[f"{modality} → text"] = (float(np.mean(right)), 1 / len(CATEGORY_NAMES))
        return Table(("query", "category named", "chance"), rows)

    def compositional(self) -> Table:
        """Captions of things whose category and colour never met in training; half of the images
        show such things, half are of the test split."""
        head = ("query", "category P@1", "colour P@1", "both P@1")
        if Modality.TEXT not in self.modalities:
            return Table(head, {})
        asked = single_object_scenes(self.queries, split="compositional", offset=len(self.index))
        half = len(self.index) // 2
        new = [scene(number) for number in split_ids("compositional", half)]
        index = self.index[:half] + new
        images = np.concatenate([self.images[:half], self.embed(Modality.IMAGE, new)])
        found = Gallery(scenes=index, vectors=images).nearest(
            self.encoder.encode("text", [caption(of) for of in asked]), 1
        )
        pairs = [(of.objects[0], index[at]) for of, (at,) in zip(asked, found, strict=True)]
        shares = (
            np.mean([holds(hit, category=o.category) for o, hit in pairs]),
            np.mean([holds(hit, colour=o.colour) for o, hit in pairs]),
            np.mean([holds(hit, category=o.category, colour=o.colour) for o, hit in pairs]),
        )
        return Table(head, {"text → image, new pairs": tuple(map(float, shares))})

    def instances(self) -> Table:
        """Whether the image of the very same scene is found among all."""
        rest = len(self.index) - len(self.single)
        images = np.concatenate([self.embed(Modality.IMAGE, self.single), self.images[:rest]])
        own = np.arange(len(self.single))[:, None]
        rows: dict[str, tuple[float | None, ...]] = {}
        for modality in (Modality.VIDEO, Modality.DEPTH, Modality.THERMAL):
            if modality in self.modalities:
                queries = self.embed(modality, self.single)
                rank = ((queries @ images.T) > (queries * images[own[:, 0]]).sum(1)[:, None]).sum(1)
                r1, r10 = float((rank < 1).mean()), float((rank < K).mean())
                rows[f"{modality} → its image"] = (r1, r10, 1 / len(images))
        return Table(("query", "R@1", "R@10", "chance R@1"), rows)


# ------------------------------------------------------------------------------------ scoring

Answers = Callable[[Scene], frozenset[str]]
COLOURED = frozenset({Modality.IMAGE, Modality.TEXT, Modality.VIDEO})


def category(of: Scene) -> frozenset[str]:
    return frozenset(item.category for item in of.objects)


def colour(of: Scene) -> frozenset[str]:
    return frozenset(item.colour for item in of.objects)


def motion(of: Scene) -> frozenset[str]:
    return frozenset(MOTION_OF[item.category] for item in of.objects)


def precision(
    queries: Vectors,
    vectors: Vectors,
    asked: Sequence[Scene],
    index: Sequence[Scene],
    answers: Answers,
) -> tuple[float, float]:
    """P@1 and P@10 by exact search; a hit is right when it shares an answer with the query."""
    held = [answers(of) for of in index]
    nearest = Gallery(scenes=index, vectors=vectors).nearest(queries, K)
    right = np.array(
        [
            [bool(answers(of) & held[at]) for at in row]
            for of, row in zip(asked, nearest, strict=True)
        ]
    )
    return float(right[:, 0].mean()), float(right.mean())


def chance(asked: Sequence[Scene], index: Sequence[Scene], answers: Answers) -> float:
    """P@1 of neighbours drawn at random, exactly."""
    held = [answers(of) for of in index]
    share = {
        wanted: np.mean([bool(wanted & h) for h in held]) for wanted in set(map(answers, asked))
    }
    return float(np.mean([share[answers(of)] for of in asked]))


# ------------------------------------------------------------------------------ raw baselines


def raw_vectors(modality: Modality, scenes: Sequence[Scene], cache: Path) -> Vectors:
    """The media themselves as centred unit vectors; see :func:`raw`."""
    folder = cache / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{modality}-{scenes[0].id}-{len(scenes)}.npy"
    if not path.exists():
        made = map_media(RAW[modality], modality, scenes, size=96, workers=available_cores())
        bar = tqdm(made, total=len(scenes), unit=f" raw {modality}", leave=False)
        np.save(path, np.stack(list(bar)))
    flat = np.load(path).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    out: Vectors = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return out


def raw_image(item: object) -> Halves:
    """Pixels, 32 x 32."""
    return _shrunk(np.asarray(item, np.float32))


def raw_video(item: object) -> Halves:
    """Pixels of the frames, 32 x 32, averaged."""
    assert isinstance(item, Frames)
    return _shrunk(np.asarray(item.frames, np.float32).mean(axis=0))


def raw_sound(item: object) -> Halves:
    """The log-mel spectrogram of the first two seconds."""
    out: Halves = AudioPreprocessor(n_mels=64)(item)[0].ravel().astype(np.float16)
    return out


def raw_map(item: object) -> Halves:
    """Log depth or heat, 32 x 32."""
    pixels = np.asarray(item, np.float32)
    return _shrunk(np.log1p(pixels)[:, :, None])


def raw_motion(item: object) -> Halves:
    """The six channels at 40 Hz, in g and radians a second."""
    assert isinstance(item, Motion)
    samples = item.samples / np.array([[GRAVITY]] * 3 + [[1.0]] * 3, np.float32)
    coarse = samples.reshape(6, -1, RAW_STEP).mean(axis=2)
    out: Halves = coarse.ravel().astype(np.float16)
    return out


def raw_cloud(item: object) -> Halves:
    """How many points are in each cell of a grid over the unit ball."""
    edges = [np.linspace(-1, 1, RAW_CELLS + 1)] * 3
    counts = np.histogramdd(np.asarray(item), bins=edges)[0]
    out: Halves = np.sqrt(counts).ravel().astype(np.float16)
    return out


def _shrunk(pixels: Floats) -> Halves:
    """A square picture ``(S, S, channels)`` to 32 x 32, flat."""
    step = len(pixels) // RAW_SIDE
    cells = pixels[: step * RAW_SIDE, : step * RAW_SIDE].reshape(RAW_SIDE, step, RAW_SIDE, step, -1)
    out: Halves = cells.mean(axis=(1, 3)).ravel().astype(np.float16)
    return out


RAW: dict[Modality, Callable[[object], Halves]] = {
    Modality.IMAGE: raw_image,
    Modality.VIDEO: raw_video,
    Modality.AUDIO: raw_sound,
    Modality.DEPTH: raw_map,
    Modality.THERMAL: raw_map,
    Modality.IMU: raw_motion,
    Modality.POINTS: raw_cloud,
}


if __name__ == "__main__":
    main()
