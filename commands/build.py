"""``anybind build`` and ``build-index``."""

import argparse
from pathlib import Path

from ..encoders.modality import Modality
from .options import add_common, add_encoder, batch_size, encoder_of, positive
from .output import print_json


def add_build(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind build`` and ``build-index``."""
    from ..index.sources import KINDS

    add = parser.add_argument
    add("--source", required=True, choices=list(KINDS), help="what kind of collection it is")
    add("--input", nargs="+", default=[], metavar="PATH|GLOB", help="its files or folders")
    add("--out", required=True, type=Path, metavar="DIR", help="the index folder")
    names = [str(modality) for modality in Modality]
    add("--modality", default="image", choices=names, help="what the items are (default image)")
    add("--limit", type=positive, metavar="N", help="take only the first N items")
    add("--batch-size", default="auto", type=batch_size, metavar="N|auto")
    add("--workers", type=positive, metavar="N", help="decoding processes; default: one per core")
    add("--no-thumbnails", dest="thumbnails", action="store_false", help="keep no small pictures")
    add("--restart", action="store_true", help="discard what is in DIR and begin anew")
    add_encoder(parser, default="imagebind-mini")
    add("--reference", action="store_true", help="prepare media exactly as the published code")
    add_common(parser)
    parser.set_defaults(command=_build)


def _build(args: argparse.Namespace) -> None:
    from ..index.pipeline import BuildOptions, build_index

    args.interrupted = "interrupted; finished shards are kept: run the same command to resume"
    encoder = encoder_of(args)
    options = BuildOptions(
        source=args.source,
        inputs=tuple(args.input),
        out=args.out,
        modality=Modality(args.modality),
        limit=args.limit,
        batch_size=args.batch_size,
        workers=args.workers,
        thumbnails=args.thumbnails,
        restart=args.restart,
    )
    report = build_index(options, encoder)
    if args.json:
        print_json(report.to_dict())
    else:
        print(report)
