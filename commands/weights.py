"""``anybind weights``."""

import argparse
from pathlib import Path

from ..encoders.modality import Tower
from .options import add_common
from .output import print_json


def add_weights(parser: argparse.ArgumentParser) -> None:
    """``anybind weights``, with its actions."""
    sub = parser.add_subparsers(required=True, metavar="ACTION")
    fetch = sub.add_parser(
        "fetch",
        help="download a published weight file",
        epilog="try: anybind weights fetch imagebind_huge",
    )
    fetch.add_argument("name", help="imagebind_huge or imagebind_w3D")
    add_common(fetch)
    fetch.set_defaults(command=_weights_fetch)
    convert = sub.add_parser(
        "convert",
        help="rewrite a weight file as safetensors",
        epilog="try: anybind weights convert imagebind_huge.pth huge.safetensors --dtype fp16",
    )
    convert.add_argument("src", type=Path)
    convert.add_argument("dst", type=Path)
    convert.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help="default: as it is")
    convert.add_argument(
        "--towers", nargs="+", type=Tower, choices=list(Tower), help="only these; default: all"
    )
    add_common(convert)
    convert.set_defaults(command=_weights_convert)


def _weights_fetch(args: argparse.Namespace) -> None:
    from ..encoders.download import fetch_published

    path = fetch_published(args.name)
    if args.json:
        print_json({"name": args.name, "path": str(path), "bytes": path.stat().st_size})
    else:
        print(path)


def _weights_convert(args: argparse.Namespace) -> None:
    from ..encoders.weights import convert

    convert(args.src, args.dst, dtype=args.dtype, towers=args.towers, progress=not args.json)
    facts = {"path": str(args.dst), "bytes": args.dst.stat().st_size}
    if args.json:
        print_json(facts)
    else:
        print(f"{facts['path']}: {facts['bytes']:,} bytes")
