"""``anybind world``."""

import argparse
from pathlib import Path

from ..encoders.modality import Modality
from ..errors import UsageError
from .options import add_common, id_range, positive
from .output import print_json, save_picture


def add_world(parser: argparse.ArgumentParser) -> None:
    """``anybind world``, with its actions."""
    sub = parser.add_subparsers(required=True, metavar="ACTION")
    render = sub.add_parser(
        "render",
        help="draw scenes as a contact sheet",
        epilog="try: anybind world render --ids 0:64 --out sheet.png",
    )
    render.add_argument("--ids", required=True, type=id_range, metavar="FIRST:END")
    render.add_argument("--out", required=True, type=Path, metavar="OUT.png")
    render.add_argument("--size", type=positive, default=192, metavar="PX", help="of one scene")
    media = [str(modality) for modality in Modality]
    render.add_argument("--modality", choices=media, default="image", help="how they are shown")
    add_common(render)
    render.set_defaults(command=_world_render)
    export = sub.add_parser(
        "export",
        help="write scenes as ordinary files, or as webdataset shards",
        epilog="try: anybind world export --split test --limit 100 --modality image,audio --out w/",
    )
    add = export.add_argument
    add("--split", default="train", metavar="NAME", help="train, validation, test, compositional")
    add("--limit", type=positive, default=1000, metavar="N", help="how many scenes")
    add("--modality", default="image", metavar="LIST", help="image,audio,video,points,...")
    add("--size", type=positive, default=256, metavar="PX", help="side of a picture")
    add("--format", choices=("files", "webdataset"), default="files")
    add("--out", required=True, type=Path, metavar="DIR")
    add_common(export)
    export.set_defaults(command=_world_export)


def _world_render(args: argparse.Namespace) -> None:
    from ..world.sheet import scene_sheet

    sheet = scene_sheet(args.ids, modality=args.modality, size=args.size)
    save_picture(sheet, args.out)
    if args.json:
        print_json({"path": str(args.out), "scenes": len(args.ids)})
    else:
        print(args.out)


def _world_export(args: argparse.Namespace) -> None:
    from ..world.export import export_files, export_webdataset

    args.interrupted = "interrupted; finished files are kept: run the same command to resume"
    modalities = args.modality.split(",")
    if args.format == "files":
        export_files(args.out, args.split, args.limit, modalities=modalities, size=args.size)
    elif len(modalities) == 1:
        export_webdataset(args.out, args.split, args.limit, modality=modalities[0], size=args.size)
    else:
        raise UsageError(
            f"webdataset shards hold one modality; --modality names {args.modality}: "
            "choose one, or --format files"
        )
    if args.json:
        print_json({"path": str(args.out), "scenes": args.limit, "format": args.format})
    else:
        print(f"{args.out}: {args.limit} scenes of {args.split} as {args.format}")
