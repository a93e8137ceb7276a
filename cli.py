"""The ``anybind`` command: read the request, call the library, show the answer.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong
usage. With ``--json`` stdout carries one JSON object and nothing else.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from .encoders.modality import Modality, Tower
from .errors import AnyBindError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from .encoders.encoder import Encoder
    from .pipeline import AnyBind, Hit, Media

Command = Callable[[argparse.Namespace], None]
Input = tuple[Modality, str]  # what a media option was given


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``anybind``; returns the exit code."""
    return _run("anybind", argv)


def build(argv: Sequence[str] | None = None) -> int:
    """Run ``build-index``, which is ``anybind build``."""
    return _run("build-index", argv)


def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser of ``anybind``, with all its commands, or of ``build-index``."""
    if program == "anybind":
        return _parser()
    parser = _Parser(prog="build-index", description=_BUILD_HELP, epilog=_BUILD_TRY)
    _add_build(parser)
    return parser


def _run(program: str, argv: Sequence[str] | None) -> int:
    """Parse, call the command, and turn what goes wrong into one line and an exit code."""
    try:
        args = parser_of(program).parse_args(argv)
    except SystemExit as stop:  # argparse has printed the help or the mistake
        return int(stop.code or 0)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    command: Command = args.command
    try:
        command(args)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, 2)
    except AnyBindError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # the reader of stdout left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return _complain(getattr(args, "interrupted", "interrupted"), 1)
    return 0


def _complain(reason: object, code: int) -> int:
    print(f"anybind: {reason}", file=sys.stderr)
    return code


# ---------------------------------------------------------------------------------- build-index

_BUILD_HELP = "Embed a collection and build a searchable index from it."
_BUILD_TRY = "try: build-index --source folder --input photos/ --out indices/photos"


def _add_build(parser: argparse.ArgumentParser) -> None:
    from .index.sources import KINDS

    add = parser.add_argument
    add("--source", required=True, choices=list(KINDS), help="what kind of collection it is")
    add("--input", nargs="+", default=[], metavar="PATH|GLOB", help="its files or folders")
    add("--out", required=True, type=Path, metavar="DIR", help="the index folder")
    add("--limit", type=_positive, metavar="N", help="take only the first N items")
    add("--batch-size", default="auto", type=_batch_size, metavar="N|auto")
    add("--workers", type=_positive, metavar="N", help="decoding processes; default: one per core")
    add("--no-thumbnails", dest="thumbnails", action="store_false", help="keep no small pictures")
    add("--restart", action="store_true", help="discard what is in DIR and begin anew")
    _add_encoder(parser, default="imagebind-mini")
    add("--reference", action="store_true", help="prepare media exactly as the published code")
    _add_common(parser)
    parser.set_defaults(command=_build)


def _build(args: argparse.Namespace) -> None:
    from .index.pipeline import BuildOptions, build_index

    args.interrupted = "interrupted; finished shards are kept: run the same command to resume"
    encoder = _load_encoder(args)
    options = BuildOptions(
        source=args.source,
        inputs=tuple(args.input),
        out=args.out,
        limit=args.limit,
        batch_size=args.batch_size,
        workers=args.workers,
        thumbnails=args.thumbnails,
        restart=args.restart,
    )
    report = build_index(options, encoder)
    if args.json:
        _print_json(report.to_dict())
    else:
        print(report)


# --------------------------------------------------------------------------------------- search


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    _add_media(parser)
    add = parser.add_argument
    add("--id", type=int, metavar="N", help="search with an item of the index")
    add("-k", type=_positive, default=10, metavar="K", help="how many neighbours (default 10)")
    add("--sheet", type=Path, metavar="OUT.png", help="draw the results: png, jpg or webp")
    _add_encoder(parser, default=None)
    _add_common(parser)
    parser.set_defaults(command=_search)


def _search(args: argparse.Namespace) -> None:
    from . import pipeline

    inputs: list[Input] = args.inputs
    if len(inputs) + (args.id is not None) != 1:
        flags = ", ".join(f"--{m}" for m in Modality)
        raise UsageError(f"a search takes one query; give one of {flags}, --id")
    ab = pipeline.load(
        args.folder,
        encoder=args.encoder,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
    )
    started = time.perf_counter()
    media = cast("Media", {str(modality): value for modality, value in inputs})
    hits = ab.search(k=args.k, id=args.id, **media)
    took = 1000 * (time.perf_counter() - started)
    if args.sheet is not None:
        _save_sheet(ab, hits, inputs, args)
    if args.json:
        results = [vars(hit) for hit in hits]
        _print_json({"results": results, "took_ms": round(took, 3)})
        return
    rows = [
        (f"{h.score:.3f}", str(h.id), h.caption or "", h.url or h.image_path or h.key) for h in hits
    ]
    _print_table(("score", "id", "caption", "source"), rows, right=2)
    if args.sheet is not None:
        print(f"contact sheet: {args.sheet}", file=sys.stderr)


def _save_sheet(
    ab: "AnyBind", hits: Sequence["Hit"], inputs: Sequence[Input], args: argparse.Namespace
) -> None:
    """The neighbours as a contact sheet; a picture that was asked with stands first, framed."""
    import io

    from PIL import Image

    from .encoders.images import open_image
    from .sheet import contact_sheet

    pictures: list[Image.Image] = []
    labels: list[str] = []
    asked = [("id", str(args.id))] if args.id is not None else inputs
    for name, value in asked:
        if name == Modality.IMAGE:
            pictures.append(open_image(value))
            labels.append("the query")
    queries = len(pictures)
    for rank, hit in enumerate(hits, start=1):
        thumbnail = ab.index.thumbnail(hit.id)
        if thumbnail is None:
            raise UsageError(
                f"{args.folder} was built without thumbnails, so there is nothing to draw; "
                "leave out --sheet, or build it again without --no-thumbnails"
            )
        pictures.append(Image.open(io.BytesIO(thumbnail)))
        labels.append(f"{rank}.  {hit.score:.3f}\n{hit.caption or hit.key}")
    title = ", ".join(f"{name}: {value}" for name, value in asked)
    sheet = contact_sheet(
        pictures, labels, columns=6, title=title, emphasised=0 if queries else None
    )
    _save_picture(sheet, args.sheet)


def _save_picture(picture: "Image", path: Path) -> None:
    """Write a picture in the format that its name says."""
    from .files import atomic_path

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if path.suffix.lower() not in formats:
        raise UsageError(f"cannot draw {path}: its name should end in {', '.join(formats)}")
    with atomic_path(path) as part:
        picture.save(part, format=formats[path.suffix.lower()])


# ---------------------------------------------------------------------------------------- embed


def _add_embed(parser: argparse.ArgumentParser) -> None:
    _add_media(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="OUT.npy", help="write float32 rows, one an input, to a file")
    add("--scaled", action="store_true", help="ImageBind's own scale instead of unit length")
    _add_encoder(parser, default="imagebind-mini")
    add("--reference", action="store_true", help="prepare media exactly as the published code")
    _add_common(parser)
    parser.set_defaults(command=_embed)


def _embed(args: argparse.Namespace) -> None:
    import numpy as np

    from .files import atomic_path
    from .pipeline import AnyBind

    inputs: list[Input] = args.inputs
    if not inputs:
        raise UsageError(f"nothing to embed; give one of {', '.join(f'--{m}' for m in Modality)}")
    encoder = _load_encoder(args)
    ab = AnyBind(encoder)
    vectors = np.empty((len(inputs), encoder.dim), np.float32)
    for modality in dict(inputs):  # one batch a modality, rows in the order given
        rows = [i for i, (name, _) in enumerate(inputs) if name is modality]
        batch = [inputs[i][1] for i in rows]
        vectors[rows] = ab.embed(scaled=args.scaled, **cast("Media", {str(modality): batch}))
    if args.out is not None:
        with atomic_path(args.out) as path, path.open("wb") as file:
            np.save(file, vectors)
    if args.json:
        items = [
            {"modality": str(name), "input": value, "embedding": row.tolist()}
            for (name, value), row in zip(inputs, vectors, strict=True)
        ]
        _print_json({"encoder": encoder.name, "dim": encoder.dim, "embeddings": items})
    elif args.out is not None:
        print(f"{args.out}: {vectors.shape[0]} x {vectors.shape[1]} float32")
    else:
        for (name, value), row in zip(inputs, vectors, strict=True):
            print(f"{name} {value}: {' '.join(f'{x:.4f}' for x in row)}")


# ------------------------------------------------------------------------------- info and verify


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    _add_common(parser)
    parser.set_defaults(command=_info)


def _info(args: argparse.Namespace) -> None:
    from .index.verify import describe

    facts = describe(args.folder)
    if args.json:
        _print_json(facts)
    else:
        _print_facts(facts)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    _add_common(parser)
    parser.set_defaults(command=_verify)


def _verify(args: argparse.Namespace) -> None:
    from .index.verify import verify

    problems = list(verify(args.folder))
    if args.json:
        _print_json({"folder": str(args.folder), "ok": not problems, "problems": problems})
    else:
        print("\n".join(problems) if problems else f"{args.folder}: every file is as it was built")
    if problems:
        raise AnyBindError(
            f"{args.folder} has {len(problems)} problems; restore it from a copy or build it again "
            "with --restart"
        )


# -------------------------------------------------------------------------------------- weights


def _add_weights(parser: argparse.ArgumentParser) -> None:
    sub = parser.add_subparsers(required=True, metavar="ACTION")
    fetch = sub.add_parser(
        "fetch",
        help="download a published weight file",
        epilog="try: anybind weights fetch imagebind_huge",
    )
    fetch.add_argument("name", help="imagebind_huge or imagebind_w3D")
    _add_common(fetch)
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
    _add_common(convert)
    convert.set_defaults(command=_weights_convert)


def _weights_fetch(args: argparse.Namespace) -> None:
    from .encoders.download import fetch_published

    path = fetch_published(args.name)
    if args.json:
        _print_json({"name": args.name, "path": str(path), "bytes": path.stat().st_size})
    else:
        print(path)


def _weights_convert(args: argparse.Namespace) -> None:
    from .encoders.weights import convert

    convert(args.src, args.dst, dtype=args.dtype, towers=args.towers, progress=not args.json)
    facts = {"path": str(args.dst), "bytes": args.dst.stat().st_size}
    if args.json:
        _print_json(facts)
    else:
        print(f"{facts['path']}: {facts['bytes']:,} bytes")


# ---------------------------------------------------------------------------------------- world


def _add_world(parser: argparse.ArgumentParser) -> None:
    sub = parser.add_subparsers(required=True, metavar="ACTION")
    render = sub.add_parser(
        "render",
        help="draw scenes as a contact sheet",
        epilog="try: anybind world render --ids 0:64 --out sheet.png",
    )
    render.add_argument("--ids", required=True, type=_id_range, metavar="FIRST:END")
    render.add_argument("--out", required=True, type=Path, metavar="OUT.png")
    render.add_argument("--size", type=_positive, default=192, metavar="PX", help="of one scene")
    _add_common(render)
    render.set_defaults(command=_world_render)
    export = sub.add_parser(
        "export",
        help="write scenes as ordinary files, or as webdataset shards",
        epilog="try: anybind world export --split test --limit 100 --out world/",
    )
    add = export.add_argument
    add("--split", default="train", metavar="NAME", help="train, validation, test, compositional")
    add("--limit", type=_positive, default=1000, metavar="N", help="how many scenes")
    add("--size", type=_positive, default=256, metavar="PX", help="side of a picture")
    add("--format", choices=("files", "webdataset"), default="files")
    add("--out", required=True, type=Path, metavar="DIR")
    _add_common(export)
    export.set_defaults(command=_world_export)


def _world_render(args: argparse.Namespace) -> None:
    from .world.sheet import scene_sheet

    _save_picture(scene_sheet(args.ids, size=args.size), args.out)
    if args.json:
        _print_json({"path": str(args.out), "scenes": len(args.ids)})
    else:
        print(args.out)


def _world_export(args: argparse.Namespace) -> None:
    from .world.export import export_files, export_webdataset

    args.interrupted = "interrupted; finished files are kept: run the same command to resume"
    export = export_webdataset if args.format == "webdataset" else export_files
    export(args.out, args.split, args.limit, size=args.size)
    if args.json:
        _print_json({"path": str(args.out), "scenes": args.limit, "format": args.format})
    else:
        print(f"{args.out}: {args.limit} scenes of {args.split} as {args.format}")


# ----------------------------------------------------------------------------- parsers and types


class _Parser(argparse.ArgumentParser):
    """argparse with its mistake on one line, after the command's name."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="anybind",
        description="Any media to one vector, and from there to neighbours.",
        epilog='try: anybind search indices/demo --text "a red train on snow"',
    )
    from importlib.metadata import version

    parser.add_argument("--version", action="version", version=f"anybind {version('anybind')}")
    sub = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        return sub.add_parser(name, help=text, description=text, epilog=f"try: {example}")

    _add_build(command("build", _BUILD_HELP, _BUILD_TRY.removeprefix("try: ")))
    _add_search(
        command(
            "search", "Find what is nearest to a query.", "anybind search DIR --image cat.jpg -k 3"
        )
    )
    _add_embed(command("embed", "Turn media into vectors.", 'anybind embed --text "a dog" --json'))
    _add_info(command("info", "Say what an index folder holds.", "anybind info indices/demo"))
    _add_verify(command("verify", "Check every file of an index.", "anybind verify indices/demo"))
    _add_weights(
        command("weights", "Fetch and convert weights.", "anybind weights fetch imagebind_huge")
    )
    _add_world(
        command(
            "world", "Scenes of the simulated world.", "anybind world render --ids 0:64 --out s.png"
        )
    )
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens to stderr")


def _add_encoder(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    add = parser.add_argument
    shown = default or "the one that built the index"
    add("--encoder", default=default, metavar="NAME|FILE", help=f"default: {shown}")
    add("--weights", metavar="FILE", help="its weight file, if it is not the preset's own")
    add("--device", default="auto", metavar="auto|cpu|cuda|cuda:N")
    add("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))


def _load_encoder(args: argparse.Namespace) -> "Encoder":
    """The encoder that the options of :func:`_add_encoder` and ``--reference`` name."""
    from .encoders.encoder import load_encoder

    return load_encoder(
        args.encoder,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        reference=args.reference,
    )


def _add_media(parser: argparse.ArgumentParser) -> None:
    """One option a modality; what is given is kept in order as ``inputs``."""
    parser.set_defaults(inputs=[])
    for modality in Modality:
        metavar = "TEXT" if modality is Modality.TEXT else "PATH"
        parser.add_argument(f"--{modality}", action=_AppendInput, metavar=metavar)


class _AppendInput(argparse.Action):
    """Collect ``(modality, value)`` pairs of all media options in the order they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        namespace.inputs = [*namespace.inputs, (Modality(self.dest), values)]


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return value


def _batch_size(text: str) -> int | None:
    return None if text == "auto" else _positive(text)


def _id_range(text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write it as 0:64")
    return range(int(first), int(end))


# ------------------------------------------------------------------------------------- printing


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))


def _print_facts(facts: Mapping[str, object], indent: int = 0) -> None:
    """Nested facts as aligned ``name  value`` lines."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            print(f"{'':{indent}}{name}")
            _print_facts(value, indent + 2)
        else:
            print(f"{'':{indent}}{name:<{width}}  {value}")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: int) -> None:
    """A table as wide as the terminal allows; the first ``right`` columns are right-aligned."""
    import shutil

    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    room = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else sum(widths) + 99
    caption = len(head) - 2  # the column that gives way
    spare = room - sum(widths) - 2 * (len(head) - 1)
    widths[caption] = max(16, widths[caption] + min(0, spare))
    for row in [head, *rows]:
        cells = [
            cell[: widths[i] - 1] + "…" if len(cell) > widths[i] else cell
            for i, cell in enumerate(row)
        ]
        print(
            "  ".join(
                f"{cell:>{widths[i]}}" if i < right else f"{cell:<{widths[i]}}"
                for i, cell in enumerate(cells)
            ).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main())
