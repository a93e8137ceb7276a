"""``anybind embed``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..encoders.modality import Modality
from ..errors import UsageError
from ..parts import ID
from .options import (
    add_common,
    add_encoder,
    add_media,
    add_mixing,
    any_minus,
    encoder_of,
    inputs_of,
)
from .output import mixture_facts, print_json

if TYPE_CHECKING:
    from ..pipeline import Media


def add_embed(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind embed``."""
    add_media(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="OUT.npy", help="write float32 rows, one an input, to a file")
    add("--scaled", action="store_true", help="ImageBind's own scale instead of unit length")
    add(
        "--mix",
        nargs="?",
        const="anybind",
        metavar="anybind|imagebind-llm",
        help="one vector of all inputs, mixed in this way (default anybind)",
    )
    add_mixing(parser)
    add_encoder(parser, default="imagebind-mini")
    add("--reference", action="store_true", help="prepare media exactly as the published code")
    add_common(parser)
    parser.set_defaults(command=_embed)


def _embed(args: argparse.Namespace) -> None:
    import numpy as np

    from ..files import atomic_path
    from ..pipeline import AnyBind

    inputs = inputs_of(args)
    if not inputs:
        raise UsageError(f"nothing to embed; give one of {', '.join(f'--{m}' for m in Modality)}")
    if args.mix is None and (args.weight or args.centre or any_minus(args)):
        raise UsageError("--weight, --minus and --centre are for mixing inputs; add --mix")
    if any(part.modality == ID for part in inputs):
        raise UsageError("embed opens no index, so it knows no ids; give the medium itself")
    if args.mix is not None and args.scaled:
        raise UsageError("--mix takes every input at unit length; leave out --scaled")
    encoder = encoder_of(args)
    ab = AnyBind(encoder)
    mixture = None
    if args.mix is not None:
        mixture = ab.mix(*inputs, centre=args.centre, mixing=args.mix)
        labels, vectors = ["mixture"], mixture.vector[None]
    else:
        labels = [f"{part.modality} {part.value}" for part in inputs]
        vectors = np.empty((len(inputs), encoder.dim), np.float32)
        for kind in dict.fromkeys(part.modality for part in inputs):  # one batch a modality
            rows = [i for i, part in enumerate(inputs) if part.modality == kind]
            batch = [inputs[i].value for i in rows]
            vectors[rows] = ab.embed(scaled=args.scaled, **cast("Media", {kind: batch}))
    if args.out is not None:
        with atomic_path(args.out) as path, path.open("wb") as file:
            np.save(file, vectors)
    facts = {"encoder": encoder.name, "dim": encoder.dim}
    if args.json and mixture is not None:
        mixed = {**mixture_facts(mixture), "vector": mixture.vector.tolist()}
        print_json({**facts, "mixture": mixed})
    elif args.json:
        items = [
            {"modality": part.modality, "input": part.value, "embedding": row.tolist()}
            for part, row in zip(inputs, vectors, strict=True)
        ]
        print_json({**facts, "embeddings": items})
    elif args.out is not None:
        print(f"{args.out}: {vectors.shape[0]} x {vectors.shape[1]} float32")
    else:
        for label, row in zip(labels, vectors, strict=True):
            print(f"{label}: {' '.join(f'{x:.4f}' for x in row)}")
