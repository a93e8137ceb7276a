"""Options that commands share, how their values are read, and what they mean."""

import argparse
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..encoders.modality import Modality
from ..errors import UsageError
from ..parts import ID, Given, Weight, parse_weight, signed_weights

if TYPE_CHECKING:
    from ..answers import CacheChoice
    from ..encoders.encoder import Encoder
    from ..index.cache import Cache
    from ..pipeline import AnyBind, Input


LANGUAGE_MODEL_OPTIONS = (
    *("language_model", "base", "adapter", "lm_precision", "expect_base", "force"),
)


def add_language_model(parser: argparse.ArgumentParser) -> None:
    """Which language model answers, and of which weights."""
    from ..llm.presets import PRESETS

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
    add(
        "--lm-precision",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
        help="of its weights, if another than --precision; int8: a quarter of fp32",
    )
    add("--expect-base", metavar="sha256:...", help="the fingerprint the base must have")
    add(
        "--force",
        action="store_true",
        help="take a base or an encoder that the adapter was not made for",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens to stderr")


def add_encoder(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """Which encoder, where it runs, and how it reads depth; ``default`` is shown as such."""
    add = parser.add_argument
    shown = default or "the one that built the index"
    add("--encoder", default=default, metavar="NAME|FILE", help=f"default: {shown}")
    add("--weights", metavar="FILE", help="its weight file, if it is not the preset's own")
    add("--device", default="auto", metavar="auto|cpu|cuda|cuda:N")
    add("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    add(
        "--depth-scale",
        type=partial(positive_number, what="length in metres"),
        default=0.001,
        metavar="METRES",
        help="a unit of depth maps that hold integers (default 0.001: millimetres)",
    )


def load_index(args: argparse.Namespace, *more: str) -> "AnyBind":
    """The index folder with the encoder that the options of :func:`add_encoder` name.

    Args:
        args: With ``folder``.
        more: Names of further options that :func:`.pipeline.load` takes.
    """
    from .. import pipeline

    return pipeline.load(args.folder, **options_of(args, *more))


def options_of(args: argparse.Namespace, *more: str) -> dict[str, Any]:
    """The options of :func:`add_encoder`, and further ones, by their names."""
    names = ("encoder", "weights", "device", "precision", "depth_scale", *more)
    return {name: getattr(args, name) for name in names}


def encoder_of(args: argparse.Namespace) -> "Encoder":
    """The encoder that the options of :func:`add_encoder` and ``--reference`` name."""
    from ..encoders.encoder import load_encoder

    return load_encoder(
        args.encoder,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        depth_scale=args.depth_scale,
        reference=args.reference,
    )


def add_media(parser: argparse.ArgumentParser) -> None:
    """One option a modality; what is given is kept in order as ``inputs``."""
    parser.set_defaults(inputs=[])
    for modality in Modality:
        metavar = "TEXT" if modality is Modality.TEXT else "PATH"
        parser.add_argument(f"--{modality}", action=AppendInput, metavar=metavar)


class AppendInput(argparse.Action):
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


def add_mixing(parser: argparse.ArgumentParser) -> None:
    """How the inputs of :func:`add_media` count in a mixture."""
    add = parser.add_argument
    add(
        "--minus",
        action=AppendInput,
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


def add_cache(parser: argparse.ArgumentParser, *, alpha: str) -> None:
    """How the query is pulled toward images; ``alpha`` says what happens by default."""
    add = parser.add_argument
    add(
        "--alpha",
        type=float,
        metavar="A",
        help="pull the query toward its nearest images by this share, 0 to 1, unless all inputs "
        f"are images or videos (default {alpha})",
    )
    add("--cache-k", type=positive, metavar="K", help="how many images pull (default 10)")
    add("--weighting", choices=("softmax", "linear"), help="of those images (default softmax)")
    add(
        "--cache-temperature",
        type=float,
        metavar="T",
        help="of softmax: 0 is a plain mean (default 20)",
    )


def search_cache(args: argparse.Namespace) -> "Cache | None":
    """The cache of a search: none unless there is an ``--alpha``."""
    from ..index.cache import Cache

    given = _cache_options(args)
    if args.alpha is None and given:
        raise UsageError(f"{given[0]} is an option of the cache; switch it on with --alpha 0.5")
    return _cache_of(args, Cache()) if given else None


def ask_cache(args: argparse.Namespace, default: "Cache | None") -> "CacheChoice":
    """The cache of a question: the language model's own, where no option changes it."""
    from ..index.cache import Cache

    given = _cache_options(args)
    if args.no_cache and given:
        raise UsageError(f"{given[0]} is an option of the cache; leave out --no-cache")
    if args.no_cache:
        return None
    return _cache_of(args, default or Cache()) if given else "default"


def _cache_options(args: argparse.Namespace) -> list[str]:
    """The options of :func:`add_cache` that were given."""
    options = ("alpha", "cache_k", "weighting", "cache_temperature")
    given = [name for name in options if getattr(args, name) is not None]
    return [f"--{name.replace('_', '-')}" for name in given]


def _cache_of(args: argparse.Namespace, default: "Cache") -> "Cache":
    """A cache with the options that were given."""
    from ..index.cache import Cache

    temperature = args.cache_temperature
    return Cache(
        k=args.cache_k or default.k,
        alpha=default.alpha if args.alpha is None else args.alpha,
        weighting=args.weighting or default.weighting,
        temperature=default.temperature if temperature is None else temperature,
    )


def inputs_of(args: argparse.Namespace) -> list["Input"]:
    """The inputs of a mixture, in the order given, with their signed weights."""
    from ..pipeline import Input

    given: list[Given] = args.inputs
    return [
        Input(part.kind, part.value, weight=weight)
        for part, weight in zip(given, signed_weights(given, args.weight), strict=True)
    ]


def any_minus(args: argparse.Namespace) -> bool:
    """Whether something is to be taken away."""
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


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return value


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def json_value(text: str) -> object:
    """Anything, written as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no JSON; write it as {{"width": {{"gt": 512}}}}'
        ) from None


def positive_number(text: str, what: str = "positive number") -> float:
    """A number above 0; ``what`` is its name in the error."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
    return value


def batch_size(text: str) -> int | None:
    """A whole number from 1; ``None`` is the encoder's choice."""
    return None if text == "auto" else positive(text)


def id_range(text: str) -> range:
    """Scenes, written as ``0:64``."""
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write it as 0:64")
    return range(int(first), int(end))
