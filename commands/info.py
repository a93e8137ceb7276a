"""``anybind info`` and ``anybind verify``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..encoders.modality import Modality, Vectors
from ..errors import AnyBindError, UsageError
from .options import add_common, add_encoder, load_index
from .output import print_facts, print_json

if TYPE_CHECKING:
    from ..index.manifest import Json
    from ..pipeline import AnyBind, Media


WORLD = "world"  # of info --plot-with: not a folder
WORLD_SCENES = 512  # rendered for it
WORLD_CHUNK = 32  # scenes in memory
WORLD_SIZE = 128  # px a side


def add_info(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind info``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    add = parser.add_argument
    add("--plot", type=Path, metavar="OUT.png", help="draw the modality gap, and print its figures")
    add(
        "--plot-with",
        nargs="+",
        metavar="DIR|world",
        help="what to compare with, beside the captions: indices of other modalities by the same "
        "encoder (items of one key belong together), or unseen scenes of the simulated world "
        "(default for imagebind-mini, which knows no other)",
    )
    add_encoder(parser, default=None)
    add_common(parser)
    parser.set_defaults(command=_info)


def _info(args: argparse.Namespace) -> None:
    from ..index.verify import describe

    if args.plot_with and args.plot is None:
        raise UsageError("--plot-with says what to draw; name the picture with --plot OUT.png")
    facts = describe(args.folder)
    if args.plot is not None:
        facts["gap"] = _plot_gap(args, title=f"{args.folder}: {facts['holds']}")
    if args.json:
        print_json(facts)
        return
    print_facts(facts)
    if args.plot is not None:
        print(f"modality gap: {args.plot}", file=sys.stderr)


def _plot_gap(args: argparse.Namespace, title: str) -> "dict[str, Json]":
    """Draw how the modalities lie to the indexed one, and return the figures."""
    from ..index import gap
    from ..index.search import Index

    ab = load_index(args)
    index = ab.index
    ids = gap.sampled(index)
    vectors = {index.modality: index.vectors(ids)}
    pairs: dict[Modality, gap.Pairs] = {}
    captions = {row.id: row.caption for row in index.rows(ids) if row.caption}
    if captions and index.modality != Modality.TEXT and Modality.TEXT in ab.encoder.modalities:
        texts = ab.embed(text=list(captions.values()))
        vectors[Modality.TEXT] = texts
        pairs[Modality.TEXT] = (texts, index.vectors(list(captions)))
    mini = index.manifest.encoder.name == "imagebind-mini"
    for name in args.plot_with or ([WORLD] if mini else []):
        if name == WORLD:
            found = _world_pairs(ab, without=vectors)
            vectors |= {modality: rows for modality, (rows, _) in found.items()}
            pairs |= found
            continue
        other = Index.open(name, encoder=ab.encoder)
        if other.modality in vectors:
            raise UsageError(f"{name} holds {other.modality}, which is in the picture already")
        vectors[other.modality] = other.vectors(gap.sampled(other))
        together = gap.pairs_by_key(other, index)
        if together is not None:
            pairs[other.modality] = together
    title += f" by {index.manifest.encoder.name}"
    figures = gap.plot_gap(vectors, pairs, args.plot, title=title)
    return {
        str(modality): {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in vars(figure).items()
        }
        for modality, figure in figures.items()
    }


def _world_pairs(
    ab: "AnyBind", without: Iterable[Modality]
) -> dict[Modality, tuple[Vectors, Vectors]]:
    """Unseen scenes of the world in every other modality, and in that of the index.

    Videos are left out: they take long to render, and the image tower sees them.
    """
    import numpy as np
    from tqdm import tqdm

    from ..world.media import medium
    from ..world.scene import scene
    from ..world.splits import split_ids

    own = ab.index.modality
    others = [m for m in ab.encoder.modalities if m not in {*without, Modality.VIDEO}]
    scenes = [scene(number) for number in split_ids("test", WORLD_SCENES)]
    vectors: dict[Modality, Vectors] = {}
    for modality in [own, *others] if others else []:
        parts: list[Vectors] = []
        bar = tqdm(range(0, len(scenes), WORLD_CHUNK), f"scenes as {modality}", leave=False)
        for start in bar:
            some = scenes[start : start + WORLD_CHUNK]
            items = [medium(modality, of, WORLD_SIZE) for of in some]
            parts.append(ab.embed(progress=False, **cast("Media", {str(modality): items})))
        vectors[modality] = np.concatenate(parts)
    return {modality: (vectors[modality], vectors[own]) for modality in others}


def add_verify(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind verify``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    add_common(parser)
    parser.set_defaults(command=_verify)


def _verify(args: argparse.Namespace) -> None:
    from ..index.verify import verify

    problems = list(verify(args.folder))
    if args.json:
        print_json({"folder": str(args.folder), "ok": not problems, "problems": problems})
    else:
        print("\n".join(problems) if problems else f"{args.folder}: every file is as it was built")
    if problems:
        raise AnyBindError(
            f"{args.folder} has {len(problems)} problems; restore it from a copy or build it again "
            "with --restart"
        )
