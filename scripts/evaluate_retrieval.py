"""How well imagebind-mini retrieves: unseen queries against unseen images of the world.

A hit is right when the image contains the query's category (colour). Beside each row stands what
raw pixels reach as vectors, and what guessing reaches; where pixels do well, the world is too easy.

    python scripts/evaluate_retrieval.py
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from anybind.encoders.encoder import Encoder, load_encoder
from anybind.world.captions import caption
from anybind.world.render import render_batch
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids
from anybind.world.workers import available_cores

CHUNK = 1000  # scenes rendered and encoded at once


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--encoder", default="imagebind-mini")
    add("--images", type=int, default=20_000, help="of the index")
    add("--queries", type=int, default=2_000)
    add("--seed", type=int, default=0, help="which test scenes: those from 100,000 x seed on")
    add("--size", type=int, default=96, help="side of the rendered pictures, pixels")
    add("--json", type=Path, metavar="OUT", help="write the figures there too")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)

    offset = 100_000 * args.seed
    index = split_ids("test", args.images, offset=offset)
    gallery = [scene(number) for number in index]
    later = map(scene, split_ids("test", 2 * args.queries, offset=offset + args.images))
    single = [s for s in later if len(s.objects) == 1][: args.queries]
    images, pixels = embed_images(encoder, index, args.size)
    seen, query_pixels = embed_images(encoder, [s.id for s in single], args.size)
    texts = encoder.encode("text", [caption(s) for s in single])
    chinese = encoder.encode("text", [caption(s, "zh") for s in single])

    rows = {
        "text → image": score(texts, images, single, gallery),
        "Chinese text → image": score(chinese, images, single, gallery),
        "image → image": score(seen, images, single, gallery),
        "raw pixels → raw pixels": score(query_pixels, pixels, single, gallery),
        "guessing": chance(single, gallery),
    }
    print(
        f"{encoder.name}: {len(single):,} unseen one-object queries, {len(index):,} unseen images, "
        f"seed {args.seed}\n"
    )
    print("| query | category P@1 | category P@10 | colour P@1 |")
    print("| --- | --- | --- | --- |")
    for name, row in rows.items():
        print(f"| {name} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f} |")
    if args.json:
        facts = {name: dict(zip(FIGURES, row, strict=True)) for name, row in rows.items()}
        args.json.write_text(json.dumps({"seed": args.seed, "rows": facts}, indent=1) + "\n")


FIGURES = ("category_p1", "category_p10", "colour_p1")


def embed_images(
    encoder: Encoder, ids: Sequence[int], size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vectors of rendered scenes, and the centred unit vectors of their raw pixels at 32 px."""
    vectors, raw = [], []
    for start in tqdm(range(0, len(ids), CHUNK), unit=f" x {CHUNK} images", file=sys.stderr):
        pictures = render_batch(ids[start : start + CHUNK], size, workers=available_cores())
        vectors.append(encoder.encode("image", list(pictures)))
        small = pictures.reshape(len(pictures), 32, size // 32, 32, size // 32, 3).mean((2, 4))
        raw.append(small.reshape(len(pictures), -1).astype(np.float32))
    flat = np.concatenate(raw)
    flat -= flat.mean(1, keepdims=True)
    return np.concatenate(vectors), flat / np.linalg.norm(flat, axis=1, keepdims=True)


def score(
    queries: npt.NDArray[np.float32],
    images: npt.NDArray[np.float32],
    asked: Sequence[Scene],
    gallery: Sequence[Scene],
) -> tuple[float, float, float]:
    """Category P@1, category P@10, colour P@1 by exact search."""
    nearest = np.argsort(-(queries @ images.T), axis=1)[:, :10]
    category = np.array(
        [
            [s.objects[0].category in {o.category for o in gallery[i].objects} for i in row]
            for s, row in zip(asked, nearest, strict=True)
        ]
    )
    colour = np.array(
        [
            s.objects[0].colour in {o.colour for o in gallery[row[0]].objects}
            for s, row in zip(asked, nearest, strict=True)
        ]
    )
    return float(category[:, 0].mean()), float(category.mean()), float(colour.mean())


def chance(asked: Sequence[Scene], gallery: Sequence[Scene]) -> tuple[float, float, float]:
    """The same figures for neighbours drawn at random, computed exactly."""

    def share(name: str) -> float:
        held = [{getattr(o, name) for o in s.objects} for s in gallery]
        values = [getattr(s.objects[0], name) for s in asked]
        frequency = {v: sum(v in h for h in held) / len(held) for v in set(values)}
        return float(np.mean([frequency[v] for v in values]))

    category = share("category")
    return category, category, share("colour")


if __name__ == "__main__":
    main()
