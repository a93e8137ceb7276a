"""The ``anybind`` command: read the request, call the library, show the answer.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong
usage. With ``--json`` stdout carries one JSON object and nothing else.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .encoders.modality import Modality, Tower, Vectors
from .errors import AnyBindError, UsageError
from .parts import ID, Given, Weight, parse_weight, signed_weights

if TYPE_CHECKING:
    from PIL.Image import Image

    from .answers import Answer, CacheChoice
    from .encoders.encoder import Encoder
    from .index.cache import Cache
    from .index.manifest import Json
    from .llm.config import Generation
    from .llm.records import Source
    from .pipeline import AnyBind, Citation, Hit, Input, Media, Mixture

Command = Callable[[argparse.Namespace], None]
LANGUAGE_MODEL_OPTIONS = ("language_model", "base", "adapter", "expect_base", "force")
WORLD = "world"  # of info --plot-with: not a folder
WORLD_SCENES = 512  # rendered for it
WORLD_CHUNK = 32  # scenes in memory
WORLD_SIZE = 128  # px a side


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
    names = [str(modality) for modality in Modality]
    add("--modality", default="image", choices=names, help="what the items are (default image)")
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
        modality=Modality(args.modality),
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
    add("--id", action=_AppendInput, type=int, metavar="N", help="an item of the index")
    _add_mixing(parser)
    add("-k", type=_positive, default=10, metavar="K", help="how many neighbours (default 10)")
    _add_cache(parser, alpha="0: leave it alone")
    add(
        "--filter",
        type=_json,
        metavar="JSON",
        help='only items of which this is true: \'{"width": {"gt": 512}, "caption": {"contains": '
        '"train"}}\'; eq, in, gt, lt and contains',
    )
    add(
        "--dedup",
        type=float,
        metavar="COSINE",
        help="drop items this similar to a better one, and go on to the next (try 0.94)",
    )
    add("--offset", type=_count, default=0, metavar="N", help="skip the N best (default 0)")
    add("--sheet", type=Path, metavar="OUT.png", help="draw the results: png, jpg or webp")
    _add_encoder(parser, default=None)
    _add_common(parser)
    parser.set_defaults(command=_search)


def _search(args: argparse.Namespace) -> None:
    from .index.filters import Filter

    inputs = _inputs(args)
    if not inputs:
        flags = ", ".join(f"--{m}" for m in Modality)
        raise UsageError(f"nothing to search with; give one or more of {flags}, --id")
    chosen = None if args.filter is None else Filter.parse(args.filter)
    ab = _load(args)
    started = time.perf_counter()
    query = ab.mix(*inputs, centre=args.centre, cache=_search_cache(args))
    hits = ab.search(
        embedding=query.vector,
        k=args.k,
        filter=chosen,
        dedup=args.dedup,
        offset=args.offset,
    )
    took = 1000 * (time.perf_counter() - started)
    if not hits:
        print("found nothing: no item passes the filter, or none is left", file=sys.stderr)
    elif args.sheet is not None:
        _save_sheet(ab, inputs, hits, [f"{hit.score:.3f}" for hit in hits], args.sheet)
    if args.json:
        results = [vars(hit) for hit in hits]
        _print_json({"results": results, "query": _facts(query), "took_ms": round(took, 3)})
        return
    rows = [
        (f"{h.score:.3f}", str(h.id), h.caption or "", h.url or h.image_path or h.path or h.key)
        for h in hits
    ]
    _print_table(("score", "id", "caption", "source"), rows, right=2)
    if args.sheet is not None and hits:
        print(f"contact sheet: {args.sheet}", file=sys.stderr)


def _facts(query: "Mixture") -> dict[str, object]:
    """A mixture for JSON: its vector stays out, and so does a cache that was not used."""
    facts = {name: value for name, value in vars(query).items() if name != "vector"}
    citations = [vars(citation) for citation in facts.pop("citations")]
    return {**facts, "citations": citations} if citations else facts


def _save_sheet(
    ab: "AnyBind",
    inputs: Sequence["Input"],
    hits: Sequence["Hit"],
    figures: Sequence[str],
    path: Path,
) -> None:
    """What was asked with, each input drawn, beside the pictures of what was found.

    Each of those has a figure above its caption.
    """
    import io

    from PIL import Image

    from .drawings import draw
    from .sheet import Query, search_sheet

    def thumbnail(item: int) -> Image.Image:
        picture = ab.index.thumbnail(item)
        if picture is None:
            raise UsageError(
                f"{ab.folder} was built without thumbnails, so there is nothing to draw; "
                "leave out the contact sheet, or build it again without --no-thumbnails"
            )
        return Image.open(io.BytesIO(picture))

    queries: list[Query] = []
    for part in inputs:
        name, value, weight = part.modality, part.value, part.weight
        if name == ID:
            picture = thumbnail(int(str(value)))
        else:
            picture = draw(Modality(name), value, depth_scale=ab.encoder.depth_scale)
        label = f"minus {name}" if weight < 0 else name
        if abs(weight) != 1:
            label += f", weight {abs(weight):g}"
        if name != Modality.TEXT:
            label += f"\n{Path(str(value)).name}"
        queries.append(Query(picture=picture, label=label, weight=weight))
    sheet = search_sheet(
        queries,
        [thumbnail(hit.id) for hit in hits],
        [
            f"{n}.  {figure}\n{hit.caption or hit.key}"
            for n, (hit, figure) in enumerate(zip(hits, figures, strict=True), 1)
        ],
    )
    _save_picture(sheet, path)


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
    add(
        "--mix",
        nargs="?",
        const="anybind",
        metavar="anybind|imagebind-llm",
        help="one vector of all inputs, mixed in this way (default anybind)",
    )
    _add_mixing(parser)
    _add_encoder(parser, default="imagebind-mini")
    add("--reference", action="store_true", help="prepare media exactly as the published code")
    _add_common(parser)
    parser.set_defaults(command=_embed)


def _embed(args: argparse.Namespace) -> None:
    import numpy as np

    from .files import atomic_path
    from .pipeline import AnyBind

    inputs = _inputs(args)
    if not inputs:
        raise UsageError(f"nothing to embed; give one of {', '.join(f'--{m}' for m in Modality)}")
    if args.mix is None and (args.weight or args.centre or _any_minus(args)):
        raise UsageError("--weight, --minus and --centre are for mixing inputs; add --mix")
    if any(part.modality == ID for part in inputs):
        raise UsageError("embed opens no index, so it knows no ids; give the medium itself")
    if args.mix is not None and args.scaled:
        raise UsageError("--mix takes every input at unit length; leave out --scaled")
    encoder = _load_encoder(args)
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
        mixed = {**_facts(mixture), "vector": mixture.vector.tolist()}
        _print_json({**facts, "mixture": mixed})
    elif args.json:
        items = [
            {"modality": part.modality, "input": part.value, "embedding": row.tolist()}
            for part, row in zip(inputs, vectors, strict=True)
        ]
        _print_json({**facts, "embeddings": items})
    elif args.out is not None:
        print(f"{args.out}: {vectors.shape[0]} x {vectors.shape[1]} float32")
    else:
        for label, row in zip(labels, vectors, strict=True):
            print(f"{label}: {' '.join(f'{x:.4f}' for x in row)}")


# ----------------------------------------------------------------------------------- ask and chat


def _add_ask(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="an index folder")
    add("question", metavar="QUESTION")
    _add_media(parser)
    add("--id", action=_AppendInput, type=int, metavar="N", help="an item of the index")
    _add_mixing(parser)
    add(
        "--show-cache",
        nargs="?",
        const="",
        metavar="OUT.png",
        help="list the images that the answer drew on, or draw them: png, jpg or webp",
    )
    _add_answering(parser)
    _add_common(parser)
    parser.set_defaults(command=_ask)


def _ask(args: argparse.Namespace) -> None:
    inputs = _inputs(args)
    settings = _generation(args)
    ab = _load_answering(args)
    started = time.perf_counter()
    stream = ab.ask(
        args.question,
        *inputs,
        cache=_ask_cache(args, ab.default_cache),
        centre=args.centre,
        settings=settings,
        stream=True,
    )
    live = sys.stdout.isatty() and not args.json
    for piece in stream:
        if live:
            print(piece, end="", flush=True)
    answer = stream.answer
    took = 1000 * (time.perf_counter() - started)
    if args.json:
        query = None if answer.query is None else _facts(answer.query)
        _print_json({"answer": answer.text, "query": query, "took_ms": round(took, 3)})
    else:
        print("" if live else answer.text)
    if args.show_cache is not None:
        _show_cache(ab, inputs, answer, args)


def _show_cache(
    ab: "AnyBind", inputs: Sequence["Input"], answer: "Answer", args: argparse.Namespace
) -> None:
    """The images behind an answer, as a table or drawn."""
    if not answer.citations:
        print("the cache was not used, so the answer drew on no image", file=sys.stderr)
    elif args.show_cache:
        _save_cache_sheet(ab, inputs, answer.citations, Path(args.show_cache))
        print(f"contact sheet: {args.show_cache}", file=sys.stderr)
    elif not args.json:  # which lists them already
        print()
        rows = [
            (f"{c.weight:.3f}", f"{c.score:.3f}", str(c.id), c.caption or "", c.url or c.key)
            for c in answer.citations
        ]
        _print_table(("weight", "score", "id", "caption", "source"), rows, right=3)


def _save_cache_sheet(
    ab: "AnyBind", inputs: Sequence["Input"], citations: Sequence["Citation"], path: Path
) -> None:
    """What was asked about beside the images that the cache blended in, with their weights."""
    figures = [f"weight {citation.weight:.3f}" for citation in citations]
    _save_sheet(ab, inputs, citations, figures, path)


def _add_chat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    _add_answering(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens to stderr")
    parser.set_defaults(command=_chat)


def _chat(args: argparse.Namespace) -> None:
    from functools import partial

    from .console import Console

    settings = _generation(args)
    ab = _load_answering(args)
    chat = ab.chat()
    console = Console(
        chat,
        cache=_ask_cache(args, ab.default_cache),
        settings=settings,
        save_sheet=partial(_save_cache_sheet, ab),
    )
    context = chat.model.context  # loads it, so that what is wrong with it is said first
    if sys.stdin.isatty():
        name = ab.language_models.preset.name
        print(
            f"{name} ({context} tokens), {args.folder} ({len(ab.index)} items); /help lists "
            "commands",
            file=sys.stderr,
        )
    console.run()


def _add_answering(parser: argparse.ArgumentParser) -> None:
    """The language model, what it is shown, and how it answers."""
    from .llm.config import Generation

    add, drawn = parser.add_argument, Generation()
    _add_cache(parser, alpha="the language model's own, 0.5")
    add("--no-cache", action="store_true", help="do not pull the query toward images")
    _add_language_model(parser)
    add("--max-tokens", type=_positive, default=drawn.max_tokens, metavar="N", help="of an answer")
    add(
        "--temperature",
        type=float,
        default=drawn.temperature,
        metavar="T",
        help=f"how freely words are drawn; 0 takes the likeliest (default {drawn.temperature})",
    )
    add("--top-p", type=float, default=drawn.top_p, metavar="P", help=f"default {drawn.top_p}")
    add("--repetition-penalty", type=float, default=drawn.repetition_penalty, metavar="R")
    add("--seed", type=int, metavar="N", help="equal seeds give equal answers")
    _add_encoder(parser, default=None)


def _add_language_model(parser: argparse.ArgumentParser) -> None:
    from .llm.presets import PRESETS

    add = parser.add_argument
    add(
        "--lm",
        dest="language_model",
        default="llama-mini",
        choices=list(PRESETS),
        help="default: llama-mini",
    )
    add("--base", type=Path, metavar="DIR", help="a base language model of your own")
    add("--adapter", type=Path, metavar="FILE", help="an adapter of your own, such as 7B.pth")
    add("--expect-base", metavar="sha256:...", help="the fingerprint the base must have")
    add("--force", action="store_true", help="take a base that the adapter was not made for")


def _load_answering(args: argparse.Namespace) -> "AnyBind":
    """Index, encoder and language model of the options of :func:`_add_answering`."""
    return _load(args, *LANGUAGE_MODEL_OPTIONS)


def _generation(args: argparse.Namespace) -> "Generation":
    from .llm.config import Generation

    return Generation(
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )


# ---------------------------------------------------------------------------------------- serve


def _add_serve(parser: argparse.ArgumentParser) -> None:
    from .server.flags import add_flags

    parser.add_argument(
        "folders",
        nargs="+",
        metavar="DIR|NAME=DIR",
        help="index folders; the first one answers where a request names none",
    )
    _add_language_model(parser)
    _add_encoder(parser, default=None)
    add_flags(parser)
    parser.set_defaults(command=_serve, json=False, verbose=False)


def _serve(args: argparse.Namespace) -> None:
    from .server.flags import settings_of
    from .server.serve import folders_of, run

    run(folders_of(args.folders), _options(args, *LANGUAGE_MODEL_OPTIONS), settings_of(args))


def _add_serve_key(parser: argparse.ArgumentParser) -> None:
    sub = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "Make a key, print it once, and keep its hash in a file."
    new = sub.add_parser(
        "new", help=text, description=text, epilog="try: anybind serve-key new --file keys.txt"
    )
    add = new.add_argument
    add("--file", type=Path, required=True, help="of keys; made if it is not there")
    add("--name", default="me", help="whose key it is (default me)")
    add("--admin", action="store_true", help="it may also reload the server's indices")
    new.set_defaults(command=_serve_key_new, json=False, verbose=False)


def _serve_key_new(args: argparse.Namespace) -> None:
    from .server.keys import Role, new_key

    print(new_key(args.file, args.name, Role.ADMIN if args.admin else Role.USER))


# ------------------------------------------------------------------------------- info and verify


def _add_info(parser: argparse.ArgumentParser) -> None:
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
    _add_encoder(parser, default=None)
    _add_common(parser)
    parser.set_defaults(command=_info)


def _info(args: argparse.Namespace) -> None:
    from .index.verify import describe

    if args.plot_with and args.plot is None:
        raise UsageError("--plot-with says what to draw; name the picture with --plot OUT.png")
    facts = describe(args.folder)
    if args.plot is not None:
        facts["gap"] = _plot_gap(args, title=f"{args.folder}: {facts['holds']}")
    if args.json:
        _print_json(facts)
        return
    _print_facts(facts)
    if args.plot is not None:
        print(f"modality gap: {args.plot}", file=sys.stderr)


def _plot_gap(args: argparse.Namespace, title: str) -> "dict[str, Json]":
    """Draw how the modalities lie to the indexed one, and return the figures."""
    from .index import gap
    from .index.search import Index

    ab = _load(args)
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

    from .world.media import medium
    from .world.scene import scene
    from .world.splits import split_ids

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


# ---------------------------------------------------------------------------------------- train

_TRAIN_TRY = "anybind train --phase pretrain --base llama/7B --data cc3m/ --out runs/stage1"


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--phase", required=True, choices=("pretrain", "finetune"), help="what is trained: the "
        "bind network, layer queries and gates, or LoRA, biases and norms")  # fmt: skip
    add("--base", required=True, type=Path, metavar="DIR", help="the language model's folder")
    add("--data", nargs="+", default=[], type=_data, metavar="PATH[=WEIGHT]", help="folders or "
        "globs of webdataset shards, .json or .jsonl lists of LLaVA's or Alpaca's layout; a weight "
        "says how often an epoch shows each record (default 1)")  # fmt: skip
    add("--out", type=Path, metavar="DIR", help="a folder for the adapter, its log and checkpoints")
    add("--adapter", type=Path, metavar="FILE", help="what to go on from; finetune needs one")
    add("--image-root", type=Path, metavar="DIR", help="of a list's pictures (default: its folder)")
    add("--vectors", type=Path, metavar="DIR", help="pictures' vectors, which trainings may share")
    add("--epochs", type=_positive_number, default=1.0, metavar="X", help="default 1")
    add("--steps", type=_positive, metavar="N", help="instead of --epochs")
    add("--batch-size", type=_positive, default=32, metavar="N", help="records a step, over all "
        "processes (default 32)")  # fmt: skip
    add("--accumulation", type=_positive, default=1, metavar="N", help="cut each process's share "
        "into N parts, to save memory")  # fmt: skip
    add("--lr", type=_positive_number, metavar="X", help="peak learning rate (default: as "
        "published, for the phase and the batch)")  # fmt: skip
    add("--weight-decay", type=float, default=0.02, metavar="X", help="default 0.02")
    add("--warmup", type=float, default=0.03, metavar="SHARE", help="of the steps (default 0.03)")
    add("--max-norm", type=_positive_number, metavar="X", help="shorten longer gradients")
    add("--max-tokens", type=_positive, default=512, metavar="N", help="a record (default 512)")
    add("--seed", type=int, default=0, metavar="N")
    add("--lora-rank", type=_positive, default=16, metavar="N", help="of new LoRA (default 16)")
    add("--shard", action="store_true", help="spread the weights over the processes (FSDP)")
    add("--checkpoint-seconds", type=_positive_number, default=300.0, metavar="S")
    add("--expect-base", metavar="FINGERPRINT", help="refuse another base")
    add("--force", action="store_true", help="go on with another base than the adapter's")
    add("--plan", action="store_true", help="count what would be trained, and stop; needs the "
        "base's config.json or params.json alone")  # fmt: skip
    add("--encoder", default="imagebind-mini", metavar="NAME|FILE", help="of the pictures")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    _add_common(parser)
    parser.set_defaults(command=_train)


def _train(args: argparse.Namespace) -> None:
    from .llm.config import Phase

    if args.plan:
        _train_plan(args)
        return
    if args.out is None or not args.data:
        raise UsageError("name what to learn from with --data, and a folder for it with --out")
    args.interrupted = f"stopped; {args.out} keeps what was done: run the same command to go on"
    from .llm.training import Settings, train

    names = ("epochs", "steps", "batch_size", "accumulation", "lr", "weight_decay", "warmup")
    more = ("max_norm", "precision", "max_tokens", "seed", "shard", "checkpoint_seconds")
    given = {name: getattr(args, name) for name in (*names, *more)}
    path = train(
        args.base,
        args.data,
        args.out,
        Settings(phase=Phase(args.phase), **given),
        encoder=args.encoder,
        adapter=args.adapter,
        lora_rank=args.lora_rank,
        image_root=args.image_root,
        vectors=args.vectors,
        device=args.device,
        expect_base=args.expect_base,
        force=args.force,
    )
    if os.environ.get("RANK", "0") != "0":  # one of several processes speaks
        return
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if args.json:
        _print_json({"adapter": str(path), **card})
        return
    records = sum(source["records"] for source in card["data"])
    skipped = sum(sum(source["skipped"].values()) for source in card["data"])
    print(
        f"{path}: {card['steps']:,} steps on {records:,} records ({skipped:,} skipped), "
        f"loss {card['loss']:.3f}"
    )


def _train_plan(args: argparse.Namespace) -> None:
    """Print the trained parameters by part."""
    from .encoders.encoder import load_encoder
    from .llm.config import Phase
    from .llm.plan import plan

    found = plan(
        args.base,
        Phase(args.phase),
        in_dim=load_encoder(args.encoder).dim,
        adapter=args.adapter,
        lora_rank=args.lora_rank,
    )
    trained = {str(group): n for group, n in found.trained.items()}
    if args.json:
        _print_json(
            {"trained": trained, "total": found.total, "frozen": found.frozen, "base": found.base}
        )
        return
    rows = [*trained.items(), ("trained", found.total), ("adapter, frozen", found.frozen)]
    for name, n in [*rows, ("base, frozen", found.base)]:
        print(f"{name:<16}{n:>15,}")


def _data(text: str) -> "Source":
    from .llm.records import Source

    path, equals, weight = text.rpartition("=")
    try:
        return Source(path=Path(path), weight=float(weight)) if equals else Source(path=Path(text))
    except ValueError:
        return Source(path=Path(text))  # a path with an equals sign in it
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    media = [str(modality) for modality in Modality]
    render.add_argument("--modality", choices=media, default="image", help="how they are shown")
    _add_common(render)
    render.set_defaults(command=_world_render)
    export = sub.add_parser(
        "export",
        help="write scenes as ordinary files, or as webdataset shards",
        epilog="try: anybind world export --split test --limit 100 --modality image,audio --out w/",
    )
    add = export.add_argument
    add("--split", default="train", metavar="NAME", help="train, validation, test, compositional")
    add("--limit", type=_positive, default=1000, metavar="N", help="how many scenes")
    add("--modality", default="image", metavar="LIST", help="image,audio,video,points,...")
    add("--size", type=_positive, default=256, metavar="PX", help="side of a picture")
    add("--format", choices=("files", "webdataset"), default="files")
    add("--out", required=True, type=Path, metavar="DIR")
    _add_common(export)
    export.set_defaults(command=_world_export)


def _world_render(args: argparse.Namespace) -> None:
    from .world.sheet import scene_sheet

    sheet = scene_sheet(args.ids, modality=args.modality, size=args.size)
    _save_picture(sheet, args.out)
    if args.json:
        _print_json({"path": str(args.out), "scenes": len(args.ids)})
    else:
        print(args.out)


def _world_export(args: argparse.Namespace) -> None:
    from .world.export import export_files, export_webdataset

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
        _print_json({"path": str(args.out), "scenes": args.limit, "format": args.format})
    else:
        print(f"{args.out}: {args.limit} scenes of {args.split} as {args.format}")


# ----------------------------------------------------------------------------- parsers and types


class _Parser(argparse.ArgumentParser):
    """argparse with its mistake on one line, after the command's name.

    What ``late`` adds, it adds before the first use: it may take long to import.
    """

    late: Callable[["_Parser"], None] | None = None

    def parse_known_args(  # type: ignore[override]  # of the many overloads, what is called
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self.late is not None:
            late, self.late = self.late, None
            late(self)
        found, rest = super().parse_known_args(args, namespace)
        assert found is not None  # so its type says
        return found, rest

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
    _add_ask(
        command(
            "ask",
            "Answer a question about media.",
            'anybind ask DIR "What makes this sound?" --audio dog.wav',
        )
    )
    _add_chat(
        command("chat", "Talk about media, shown as you go.", "anybind chat indices/demo --seed 1")
    )
    _add_info(command("info", "Say what an index folder holds.", "anybind info indices/demo"))
    _add_verify(command("verify", "Check every file of an index.", "anybind verify indices/demo"))
    _add_weights(
        command("weights", "Fetch and convert weights.", "anybind weights fetch imagebind_huge")
    )
    late = sub.add_parser(
        "serve",
        help=(text := "Answer over HTTP, with a page to try it."),
        description=text,
        epilog="try: anybind serve indices/demo",
    )
    late.late = _add_serve
    _add_serve_key(
        command("serve-key", "Keys for a server.", "anybind serve-key new --file keys.txt")
    )
    _add_train(
        command("train", "Teach a language model to see, by an adapter around it.", _TRAIN_TRY)
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
    add(
        "--depth-scale",
        type=_metres,
        default=0.001,
        metavar="METRES",
        help="a unit of depth maps that hold integers (default 0.001: millimetres)",
    )


def _load(args: argparse.Namespace, *more: str) -> "AnyBind":
    """The index folder with the encoder that the options of :func:`_add_encoder` name.

    Args:
        args: With ``folder``.
        more: Names of further options that :func:`.pipeline.load` takes.
    """
    from . import pipeline

    return pipeline.load(args.folder, **_options(args, *more))


def _options(args: argparse.Namespace, *more: str) -> dict[str, Any]:
    """The options of :func:`_add_encoder`, and further ones, by their names."""
    names = ("encoder", "weights", "device", "precision", "depth_scale", *more)
    return {name: getattr(args, name) for name in names}


def _load_encoder(args: argparse.Namespace) -> "Encoder":
    """The encoder that the options of :func:`_add_encoder` and ``--reference`` name."""
    from .encoders.encoder import load_encoder

    return load_encoder(
        args.encoder,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        depth_scale=args.depth_scale,
        reference=args.reference,
    )


def _add_media(parser: argparse.ArgumentParser) -> None:
    """One option a modality; what is given is kept in order as ``inputs``."""
    parser.set_defaults(inputs=[])
    for modality in Modality:
        metavar = "TEXT" if modality is Modality.TEXT else "PATH"
        parser.add_argument(f"--{modality}", action=_AppendInput, metavar=metavar)


class _AppendInput(argparse.Action):
    """Collect the values of all media options, and of --minus, in the order they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if self.dest == "minus":
            kind, value = cast("tuple[str, object]", values)
        else:
            kind, value = self.dest, values
        given = Given(kind=str(kind), value=value, minus=self.dest == "minus")
        namespace.inputs = [*namespace.inputs, given]


def _add_mixing(parser: argparse.ArgumentParser) -> None:
    """How the inputs of :func:`_add_media` count in a mixture."""
    add = parser.add_argument
    add(
        "--minus",
        action=_AppendInput,
        type=_minus,
        metavar="MODALITY=VALUE",
        help="take an input away",
    )
    add(
        "--weight",
        action="append",
        default=[],
        type=_weight,
        metavar="MODALITY[:POSITION]=W",
        help="of all inputs of a modality, or of one of them, from 0 in the order given, those of "
        "--minus included (default 1)",
    )
    add(
        "--centre",
        action="store_true",
        help="take out of each input the mean of its modality",
    )


def _add_cache(parser: argparse.ArgumentParser, *, alpha: str) -> None:
    """How the query is pulled toward images; ``alpha`` says what happens by default."""
    add = parser.add_argument
    add(
        "--alpha",
        type=float,
        metavar="A",
        help="pull the query toward its nearest images by this share, 0 to 1, unless all inputs "
        f"are images or videos (default {alpha})",
    )
    add("--cache-k", type=_positive, metavar="K", help="how many images pull (default 10)")
    add("--weighting", choices=("softmax", "linear"), help="of those images (default softmax)")
    add(
        "--cache-temperature",
        type=float,
        metavar="T",
        help="of softmax: 0 is a plain mean (default 20)",
    )


def _search_cache(args: argparse.Namespace) -> "Cache | None":
    """The cache of a search: none unless there is an ``--alpha``."""
    from .index.cache import Cache

    given = _cache_options(args)
    if args.alpha is None and given:
        raise UsageError(f"{given[0]} is an option of the cache; switch it on with --alpha 0.5")
    return _cache_of(args, Cache()) if given else None


def _ask_cache(args: argparse.Namespace, default: "Cache | None") -> "CacheChoice":
    """The cache of a question: the language model's own, where no option changes it."""
    from .index.cache import Cache

    given = _cache_options(args)
    if args.no_cache and given:
        raise UsageError(f"{given[0]} is an option of the cache; leave out --no-cache")
    if args.no_cache:
        return None
    return _cache_of(args, default or Cache()) if given else "default"


def _cache_options(args: argparse.Namespace) -> list[str]:
    """The options of :func:`_add_cache` that were given."""
    options = ("alpha", "cache_k", "weighting", "cache_temperature")
    given = [name for name in options if getattr(args, name) is not None]
    return [f"--{name.replace('_', '-')}" for name in given]


def _cache_of(args: argparse.Namespace, default: "Cache") -> "Cache":
    """A cache with the options that were given."""
    from .index.cache import Cache

    temperature = args.cache_temperature
    return Cache(
        k=args.cache_k or default.k,
        alpha=default.alpha if args.alpha is None else args.alpha,
        weighting=args.weighting or default.weighting,
        temperature=default.temperature if temperature is None else temperature,
    )


def _inputs(args: argparse.Namespace) -> list["Input"]:
    """The inputs of a mixture, in the order given, with their signed weights."""
    from .pipeline import Input

    given: list[Given] = args.inputs
    return [
        Input(part.kind, part.value, weight=weight)
        for part, weight in zip(given, signed_weights(given, args.weight), strict=True)
    ]


def _any_minus(args: argparse.Namespace) -> bool:
    given: list[Given] = args.inputs
    return any(item.minus for item in given)


def _minus(text: str) -> tuple[str, object]:
    kind, equals, value = text.partition("=")
    if not equals or kind not in (*Modality, ID):
        kinds = ", ".join((*Modality, ID))
        raise argparse.ArgumentTypeError(f"{text!r}: write it as text=blue, with one of {kinds}")
    if kind != ID:
        return kind, value
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: an id is a whole number, as in id=7")
    return kind, int(value)


def _weight(text: str) -> Weight:
    try:
        return parse_weight(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no JSON; write it as {{"width": {{"gt": 512}}}}'
        ) from None


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def _metres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no length in metres")
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
