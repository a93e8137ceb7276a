"""``anybind ask`` and ``anybind chat``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options import (
    LANGUAGE_MODEL_OPTIONS,
    AppendInput,
    add_cache,
    add_common,
    add_encoder,
    add_language_model,
    add_media,
    add_mixing,
    ask_cache,
    inputs_of,
    load_index,
    positive,
)
from .output import mixture_facts, print_json, print_table, save_sheet

if TYPE_CHECKING:
    from ..answers import Answer
    from ..llm.config import Generation
    from ..pipeline import AnyBind, Citation, Input


def add_ask(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind ask``."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="an index folder")
    add("question", metavar="QUESTION")
    add_media(parser)
    add("--id", action=AppendInput, type=int, metavar="N", help="an item of the index")
    add_mixing(parser)
    add(
        "--show-cache",
        nargs="?",
        const="",
        metavar="OUT.png",
        help="list the images that the answer drew on, or draw them: png, jpg or webp",
    )
    _add_answering(parser)
    add_common(parser)
    parser.set_defaults(command=_ask)


def _ask(args: argparse.Namespace) -> None:
    inputs = inputs_of(args)
    settings = _generation(args)
    ab = _load_answering(args)
    started = time.perf_counter()
    stream = ab.ask(
        args.question,
        *inputs,
        cache=ask_cache(args, ab.default_cache),
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
        query = None if answer.query is None else mixture_facts(answer.query)
        print_json({"answer": answer.text, "query": query, "took_ms": round(took, 3)})
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
        print_table(("weight", "score", "id", "caption", "source"), rows, right=3)


def _save_cache_sheet(
    ab: "AnyBind", inputs: Sequence["Input"], citations: Sequence["Citation"], path: Path
) -> None:
    """What was asked about beside the images that the cache blended in, with their weights."""
    figures = [f"weight {citation.weight:.3f}" for citation in citations]
    save_sheet(ab, inputs, citations, figures, path)


def add_chat(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind chat``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    _add_answering(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens to stderr")
    parser.set_defaults(command=_chat)


def _chat(args: argparse.Namespace) -> None:
    from functools import partial

    from ..console import Console

    settings = _generation(args)
    ab = _load_answering(args)
    chat = ab.chat()
    console = Console(
        chat,
        cache=ask_cache(args, ab.default_cache),
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
    from ..llm.config import Generation

    add, drawn = parser.add_argument, Generation()
    add_cache(parser, alpha="the language model's own, 0.5")
    add("--no-cache", action="store_true", help="do not pull the query toward images")
    add_language_model(parser)
    add("--max-tokens", type=positive, default=drawn.max_tokens, metavar="N", help="of an answer")
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
    add_encoder(parser, default=None)


def _load_answering(args: argparse.Namespace) -> "AnyBind":
    """Index, encoder and language model of the options of :func:`_add_answering`."""
    return load_index(args, *LANGUAGE_MODEL_OPTIONS)


def _generation(args: argparse.Namespace) -> "Generation":
    from ..llm.config import Generation

    return Generation(
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )
