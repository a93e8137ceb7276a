"""``anybind search``."""

import argparse
import sys
import time
from pathlib import Path

from ..encoders.modality import Modality
from ..errors import UsageError
from .options import (
    AppendInput,
    add_cache,
    add_common,
    add_encoder,
    add_media,
    add_mixing,
    count,
    inputs_of,
    json_value,
    load_index,
    positive,
    search_cache,
)
from .output import mixture_facts, print_json, print_table, save_sheet


def add_search(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind search``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="an index folder")
    add_media(parser)
    add = parser.add_argument
    add("--id", action=AppendInput, type=int, metavar="N", help="an item of the index")
    add_mixing(parser)
    add("-k", type=positive, default=10, metavar="K", help="how many neighbours (default 10)")
    add_cache(parser, alpha="0: leave it alone")
    add(
        "--filter",
        type=json_value,
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
    add("--offset", type=count, default=0, metavar="N", help="skip the N best (default 0)")
    add("--sheet", type=Path, metavar="OUT.png", help="draw the results: png, jpg or webp")
    add_encoder(parser, default=None)
    add_common(parser)
    parser.set_defaults(command=_search)


def _search(args: argparse.Namespace) -> None:
    from ..index.filters import Filter

    inputs = inputs_of(args)
    if not inputs:
        flags = ", ".join(f"--{m}" for m in Modality)
        raise UsageError(f"nothing to search with; give one or more of {flags}, --id")
    chosen = None if args.filter is None else Filter.parse(args.filter)
    ab = load_index(args)
    started = time.perf_counter()
    query = ab.mix(*inputs, centre=args.centre, cache=search_cache(args))
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
        save_sheet(ab, inputs, hits, [f"{hit.score:.3f}" for hit in hits], args.sheet)
    if args.json:
        results = [vars(hit) for hit in hits]
        print_json({"results": results, "query": mixture_facts(query), "took_ms": round(took, 3)})
        return
    rows = [
        (f"{h.score:.3f}", str(h.id), h.caption or "", h.url or h.image_path or h.path or h.key)
        for h in hits
    ]
    print_table(("score", "id", "caption", "source"), rows, right=2)
    if args.sheet is not None and hits:
        print(f"contact sheet: {args.sheet}", file=sys.stderr)
