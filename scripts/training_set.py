"""What imagebind-mini is trained on: scenes of the world, their captions and their media, on disk.

Pictures and other media are made once, kept as one array a modality, and mapped from disk; making
them resumes where it was stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from gallery import map_media
from torch import Tensor
from tqdm import tqdm

from anybind.cores import available_cores
from anybind.encoders.modality import Modality
from anybind.encoders.preprocess import Preprocessor
from anybind.encoders.text import TextPreprocessor, Tokenizer
from anybind.world.captions import captions
from anybind.world.scene import Scene

CHUNK = 2000  # scenes rendered between two writes, so that rendering resumes too
MAX_TOKENS = 48  # longer captions are left out, where a scene has shorter ones

Rows = npt.NDArray[np.int64]  # scenes by their position among the training scenes


def media_on_disk(
    modality: Modality,
    prepare: Preprocessor,
    scenes: Sequence[Scene],
    folder: Path,
    *,
    size: int,
    dtype: type[np.generic],
) -> npt.NDArray[np.generic]:
    """Every scene's medium as ``prepare`` leaves it, ``(n, ...)``, mapped from a file.

    Args:
        modality: See :func:`anybind.world.media.medium`.
        prepare: The encoder's preprocessor, or another function of one medium.
        scenes: In the order of the rows.
        folder: Where the file is, or is made.
        size: Pixels a side of pictures.
        dtype: Of the file.
    """
    stem = folder / f"{modality}_{len(scenes)}"
    path, done = stem.with_suffix(".npy"), stem.with_suffix(".done")
    first = int(done.read_text()) if done.exists() and path.exists() else 0
    if first == len(scenes):
        made: npt.NDArray[np.generic] = np.load(path, mmap_mode="r")
        return made
    workers = available_cores()
    (example,) = map_media(prepare, modality, scenes[:1], size=size, workers=0)
    media = np.lib.format.open_memmap(
        path, "r+" if first else "w+", dtype, (len(scenes), *np.shape(example))
    )
    with tqdm(initial=first, total=len(scenes), unit=" scenes", desc=f"make {modality}") as bar:
        for start in range(first, len(scenes), CHUNK):
            chunk = scenes[start : start + CHUNK]
            items = map_media(prepare, modality, chunk, size=size, workers=workers)
            for row, item in enumerate(items, start):
                media[row] = item
                bar.update()
            media.flush()
            done.write_text(str(start + len(chunk)))
    return media


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How pictures and maps vary; nothing is mirrored, because captions say left and right."""

    zoom: float = 0.15  # scale 1 +- zoom,
    shift: float = 0.08  # shift, in sides of the picture,
    light: float = 0.15  # and brightness 1 +- light


def move(pictures: Tensor, how: Augmentation, rng: np.random.Generator) -> Tensor:
    """Zoom, shift and lighten each of ``(B, channels, S, S)`` at random."""
    n = len(pictures)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + rng.uniform(-how.zoom, how.zoom, n)
    theta[:, :, 2] = rng.uniform(-2 * how.shift, 2 * how.shift, (n, 2))
    grid = F.affine_grid(
        torch.from_numpy(theta).to(pictures), list(pictures.shape), align_corners=False
    )
    moved = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    light = 1 + rng.uniform(-how.light, how.light, (n, 1, 1, 1)).astype(np.float32)
    return moved * torch.from_numpy(light).to(pictures)


class Captions:
    """The captions of the training scenes as token ids, and the vocabulary they need.

    ``kept`` are the ids of CLIP's vocabulary that occur in any of them; the embedding rows of all
    others would never be trained and are left out of the shipped weights.
    """

    def __init__(self, scenes: Sequence[Scene], chinese: float) -> None:
        self._chinese = chinese
        numbers: dict[str, int] = {}
        contents: dict[object, int] = {}
        same: list[int] = []
        self._rows: list[dict[str, list[int]]] = []  # scene -> language -> text numbers
        for of in tqdm(scenes, unit=" captions", leave=False):
            found: dict[str, list[int]] = {"en": [], "zh": []}
            for caption in captions(of):
                found[caption.language].append(numbers.setdefault(caption.text, len(numbers)))
            self._rows.append(found)
            things = frozenset((o.category, o.colour) for o in of.objects)
            same.append(contents.setdefault((of.place, of.relation, things), len(contents)))
        self._contents = np.array(same)  # equal numbers for scenes that hold the same
        self.kept = Tokenizer().ids_used(numbers)
        encode = TextPreprocessor(kept=self.kept)
        self._ids = np.stack([encode(text) for text in tqdm(numbers, unit=" texts", leave=False)])
        lengths = self._ids.argmax(1) + 1
        for found in self._rows:
            for language, texts in found.items():
                short = [text for text in texts if lengths[text] <= MAX_TOKENS]
                found[language] = short or [min(texts, key=lengths.__getitem__)]

    def batch(
        self, rows: Rows, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """One caption a scene: token ids ``(B, n_tokens)``, and which of them say the same.

        They do when they are equal, or when their scenes hold equal things in equal places.
        """
        picked = np.empty(len(rows), np.int64)
        for i, row in enumerate(rows):
            choices = self._rows[row]["zh" if rng.random() < self._chinese else "en"]
            picked[i] = choices[rng.integers(len(choices))]
        contents = self._contents[rows]
        same = (picked[:, None] == picked) | (contents[:, None] == contents)
        return self._ids[picked], same


class Batches:
    """Which scenes a step sees; every epoch visits all of them in an order of its own.

    Place and colour are learnt first and tell most scenes of a random batch apart, so categories
    hardly matter there. Most batches are therefore made of runs of scenes that are alike in both:
    what remains to tell them apart is the category.

    Args:
        scenes: The training scenes.
        batch: Scenes a step.
        seed: Of the orders.
        alike: Scenes in a run; with 1 all batches are random.
        reminder: Every so many steps a batch is random, so that place and colour stay in mind.
    """

    def __init__(
        self, scenes: Sequence[Scene], batch: int, seed: int, *, alike: int = 1, reminder: int = 1
    ) -> None:
        self._n, self._batch, self._seed = len(scenes), batch, seed
        self._alike, self._reminder = alike, reminder
        keys = [(of.place, of.objects[0].colour) for of in scenes]
        self._groups = [
            np.array([row for row, key in enumerate(keys) if key == wanted])
            for wanted in sorted(set(keys))
        ]

    def rows(self, step: int) -> Rows:
        """The scenes of a step."""
        order = self._order(step * self._batch // self._n, step % self._reminder != 0)
        at = step % (len(order) // self._batch)
        return order[at * self._batch : (at + 1) * self._batch]

    @lru_cache(maxsize=2)  # noqa: B019 (one object a process)
    def _order(self, epoch: int, alike: bool) -> Rows:
        rng = np.random.default_rng([self._seed, 1, epoch])
        if not alike:
            return rng.permutation(self._n)
        shuffled = [rng.permutation(group) for group in self._groups]
        runs = [g[: len(g) // self._alike * self._alike] for g in shuffled]
        return rng.permutation(np.concatenate(runs).reshape(-1, self._alike)).reshape(-1)
