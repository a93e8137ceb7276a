"""What embedding arithmetic finds, on unseen scenes of the world, with and without centring.

Three questions, each to an index of pictures by exact search: a picture less its colour's name plus
another's (the same thing in the other colour); an empty place plus the sound of an animal (that
animal there); and a picture with a sound at every ratio (what of the two is found; after figure 13
of ImageBind-LLM, https://arxiv.org/abs/2309.03905). The scenes asked with are not in the index. Of
the first two, the same queries with centring and without are also compared one by one.

    python scripts/evaluate_arithmetic.py --plot docs/images/mixing.png
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gallery import (
    SEED_STRIDE,
    Gallery,
    embed,
    evaluation_parser,
    holds,
    single_object_scenes,
    size_of,
)
from intervals import NORMAL

from anybind import mix, slerp
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.modality import Modality, Vectors
from anybind.files import atomic_path
from anybind.index.mixing import Centres, centred
from anybind.world.assembly import Stream
from anybind.world.categories import CATEGORIES
from anybind.world.colours import COLOUR_NAMES
from anybind.world.render import set_stage, show
from anybind.world.scene import Scene, scene
from anybind.world.shapes import Solids
from anybind.world.splits import is_held_out, split_ids

ANIMALS = frozenset(c.name for c in CATEGORIES if c.group == "animals")
N_FOR_MEANS = 1000  # validation scenes, for means that the weight file does not bring
PLAIN, CENTRED = ", plain", ", centred"  # ends of the names of rows, by how they are mixed
SHARES = tuple(i / 10 for i in range(1, 10))  # of the sound in a mixture with a picture
K = 10

Rows = dict[str, dict[str, float]]  # figures by column, by row
Hits = dict[str, npt.NDArray[np.bool_]]  # by test, which of the K found pass, (n, K), best first
Asked = dict[str, Hits]  # by row
Means = Mapping[str, Centres | None]  # how parts are mixed: as they are, or centred


class Part(NamedTuple):
    """One input of a sum, for all queries at once."""

    modality: Modality
    vectors: Vectors  # (n, dim)
    weight: float


def main() -> None:
    parser = evaluation_parser(__doc__, queries=1_000)
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the third table")
    args = parser.parse_args()

    encoder = load_encoder(args.encoder)
    rng = np.random.default_rng(args.seed)
    offset = SEED_STRIDE * args.seed
    gallery = Gallery.of(encoder, split_ids("test", args.images, offset=offset), cache=args.cache)
    asked = single_object_scenes(2 * args.queries, offset=offset + args.images)
    first, second = asked[: args.queries], asked[args.queries :]
    hears = Modality.AUDIO in encoder.modalities
    means: Means = {"plain": None, "centred": means_of(encoder, hears, args.cache)}
    print(
        f"{encoder.name}: {args.queries:,} queries a row, {len(gallery.scenes):,} unseen images, "
        f"seed {args.seed}"
    )

    pictures = embed(encoder, Modality.IMAGE, first, cache=args.cache)
    asked_of = colours(encoder, gallery, first, pictures, means, rng)
    tables = {"colour": precisions(asked_of)}
    print("\nA picture of a thing - its colour + another colour: the thing in the other colour\n")
    show_table(tables["colour"])
    if hears:
        in_places = places(encoder, gallery, first, pictures, means, rng, args.cache)
        tables["place"] = precisions(in_places)
        print("\nAn empty place, or another thing there, + the sound of an animal: it, there\n")
        show_table(tables["place"])
        asked_of |= in_places
    tables["paired"] = paired(asked_of)
    print("\nCentred less plain, the same queries: both right at 1, and a 95 % interval\n")
    show_table(tables["paired"])
    if hears:
        sounds = embed(encoder, Modality.AUDIO, second, cache=args.cache)
        tables["ratio"] = ratios(gallery, (first, pictures), (second, sounds), means, rng)
        print("\nA picture with a sound: what the nearest picture holds\n")
        show_table(tables["ratio"], first="share of the sound")
        if args.plot:
            plot(tables["ratio"], args.plot)
    else:
        print(f"{encoder.name} has no tower for sound: that is all it can add", file=sys.stderr)
    if args.json:
        facts = {"seed": args.seed, "queries": args.queries, "images": args.images, **tables}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


def means_of(encoder: Encoder, hears: bool, cache: Path) -> Centres:
    """The means of pictures, texts and sounds: the weight file's, else of validation scenes."""
    wanted = [Modality.IMAGE, Modality.TEXT, *([Modality.AUDIO] if hears else [])]
    scenes = [scene(number) for number in split_ids("validation", N_FOR_MEANS)]
    return {
        modality: encoder.centres[modality]
        if modality in encoder.centres
        else embed(encoder, modality, scenes, cache=cache).mean(axis=0)
        for modality in wanted
    }


def mixtures(parts: Sequence[Part], means: Centres | None) -> Vectors:
    """One mixture a query, ``(n, dim)``; with ``means``, of centred parts."""
    vectors = [p.vectors if means is None else centred(p.vectors, p.modality, means) for p in parts]
    weights = [part.weight for part in parts]
    return np.stack([mix(np.stack(rows), weights) for rows in zip(*vectors, strict=True)])


def found(
    gallery: Gallery, queries: Vectors, tests: Mapping[str, Callable[[int, Scene], bool]]
) -> Hits:
    """What passes each test, which is asked about a query's number and a scene it found."""
    nearest = gallery.nearest(queries, K)
    return {
        name: np.array(
            [[test(i, gallery.scenes[j]) for j in places] for i, places in enumerate(nearest)]
        )
        for name, test in tests.items()
    }


def precisions(asked: Asked) -> Rows:
    """Precision at 1 and at K of each test."""
    return {
        name: {
            f"{test} P@{n}": float(passed[:, :n].mean())
            for test, passed in hits.items()
            for n in (1, K)
        }
        for name, hits in asked.items()
    }


def paired(asked: Asked) -> Rows:
    """How much more queries find centred than plain, row by row and on the average of rows."""
    differences = {
        name.removesuffix(PLAIN): asked[name.replace(PLAIN, CENTRED)]["both"][:, 0].astype(float)
        - hits["both"][:, 0]
        for name, hits in asked.items()
        if name.endswith(PLAIN)
    }
    differences["on the average"] = np.mean(list(differences.values()), axis=0)
    rows: Rows = {}
    for name, values in differences.items():
        around = NORMAL * values.std(ddof=1) / math.sqrt(len(values))
        middle = values.mean()
        rows[name] = {"difference": middle, "from": middle - around, "to": middle + around}
    return rows


def colours(
    encoder: Encoder,
    gallery: Gallery,
    scenes: Sequence[Scene],
    pictures: Vectors,
    means: Means,
    rng: np.random.Generator,
) -> Asked:
    """Pictures less their colour plus another, in one word each and in a phrase."""
    things = [of.objects[0] for of in scenes]
    wanted = [
        str(
            rng.choice(
                [
                    c
                    for c in COLOUR_NAMES
                    if c != thing.colour and not is_held_out(thing.category, c)
                ]
            )
        )
        for thing in things
    ]
    tests: dict[str, Callable[[int, Scene], bool]] = {
        "thing": lambda i, of: holds(of, category=things[i].category),
        "colour": lambda i, of: holds(of, colour=wanted[i]),
        "both": lambda i, of: holds(of, category=things[i].category, colour=wanted[i]),
    }
    image = Part(Modality.IMAGE, pictures, 1.0)
    rows = {"the picture alone": found(gallery, pictures, tests)}
    for example, words in {"red": "{colour}", "a red car": "a {colour} {thing}"}.items():
        old = [words.format(colour=t.colour, thing=t.category) for t in things]
        new = [
            words.format(colour=c, thing=t.category) for c, t in zip(wanted, things, strict=True)
        ]
        minus = Part(Modality.TEXT, encoder.encode("text", old), -1.0)
        plus = Part(Modality.TEXT, encoder.encode("text", new), 1.0)
        for name, centres in means.items():
            queries = mixtures([image, minus, plus], centres)
            rows[f'"{example}", {name}'] = found(gallery, queries, tests)
    return rows


def places(
    encoder: Encoder,
    gallery: Gallery,
    scenes: Sequence[Scene],
    pictures: Vectors,
    means: Means,
    rng: np.random.Generator,
    cache: Path,
) -> Asked:
    """Empty places, and places with another thing, plus sounds of animals."""
    beyond = SEED_STRIDE // 2  # after the scenes of any other question
    offset = scenes[0].id - split_ids("test", 1)[0] + beyond
    pool = [
        of
        for of in single_object_scenes(10 * len(scenes), offset=offset)
        if of.objects[0].category in ANIMALS
    ]
    heard = [pool[i] for i in rng.integers(len(pool), size=len(scenes))]
    animals = [of.objects[0].category for of in heard]
    tests: dict[str, Callable[[int, Scene], bool]] = {
        "animal": lambda i, of: holds(of, category=animals[i]),
        "place": lambda i, of: holds(of, place=scenes[i].place),
        "both": lambda i, of: holds(of, category=animals[i], place=scenes[i].place),
    }
    sounds = embed(encoder, Modality.AUDIO, heard, cache=cache)
    size = size_of(encoder, Modality.IMAGE)
    empty = encoder.encode("image", [empty_place(of, size) for of in scenes])
    rows = {
        "the empty place alone": found(gallery, empty, tests),
        "the sound alone": found(gallery, sounds, tests),
    }
    for example, images in {"empty place": empty, "another thing there": pictures}.items():
        for name, centres in means.items():
            parts = [Part(Modality.IMAGE, images, 1.0), Part(Modality.AUDIO, sounds, 1.0)]
            rows[f"{example}, {name}"] = found(gallery, mixtures(parts, centres), tests)
    return rows


def empty_place(of: Scene, size: int) -> npt.NDArray[np.uint8]:
    """The picture of a scene without its objects."""
    kept = of.solids.instance == 0
    rest = Solids(**{item.name: getattr(of.solids, item.name)[kept] for item in fields(Solids)})
    return show(set_stage(of, size), rest, Stream(of.id, "noise").generator).image


def ratios(
    gallery: Gallery,
    seen: tuple[Sequence[Scene], Vectors],
    heard: tuple[Sequence[Scene], Vectors],
    means: Means,
    rng: np.random.Generator,
) -> Rows:
    """Pictures with sounds of the same category and of others, by the share of the sound."""
    sounds = [of.objects[0].category for of in heard[0]]
    kept = [i for i, of in enumerate(seen[0]) if of.objects[0].category in sounds]
    pictures, images = [seen[0][i].objects[0].category for i in kept], seen[1][kept]
    same: list[int] = []  # the sound of each picture
    other: list[int] = []
    for category in pictures:
        same.append(int(rng.choice([j for j, s in enumerate(sounds) if s == category])))
        other.append(int(rng.choice([j for j, s in enumerate(sounds) if s != category])))

    def top(queries: Vectors) -> list[Scene]:
        return [gallery.scenes[row[0]] for row in gallery.nearest(queries, 1)]

    def share(scenes: Sequence[Scene], categories: Sequence[str]) -> float:
        hits = [holds(of, category=c) for of, c in zip(scenes, categories, strict=True)]
        return float(np.mean(hits))

    rows: Rows = {}
    for part in SHARES:
        row: dict[str, float] = {}
        for name in (*means, "slerp"):
            agreeing, differing = (
                top(pairs(images, heard[1][numbers], part, name, means))
                for numbers in (same, other)
            )
            row[f"same thing, {name}"] = share(agreeing, pictures)
            row[f"the picture's, {name}"] = share(differing, pictures)
            row[f"the sound's, {name}"] = share(differing, [sounds[j] for j in other])
        rows[f"{part:.1f}"] = row
    return rows


def pairs(images: Vectors, sounds: Vectors, part: float, name: str, means: Means) -> Vectors:
    """Each picture with its sound, which has a share ``part``, mixed in the way of that name."""
    if name == "slerp":
        return np.stack([slerp(a, b, part) for a, b in zip(images, sounds, strict=True)])
    image = Part(Modality.IMAGE, images, 1 - part)
    return mixtures([image, Part(Modality.AUDIO, sounds, part)], means[name])


def show_table(rows: Rows, *, first: str = "query") -> None:
    """Print figures as a markdown table."""
    columns = list(next(iter(rows.values())))
    print(f"| {first} | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * len(columns)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in columns)} |")


def plot(rows: Rows, out: Path) -> None:
    """Draw what mixtures of a picture and a sound find, by the share of the sound."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = {"centred": "-", "plain": "--", "slerp": ":"}
    panels = {
        "Two different things": {"the picture's": "#0072b2", "the sound's": "#d55e00"},
        "The same thing": {"same thing": "#009e73"},
    }
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    for axis, (title, kinds) in zip(axes, panels.items(), strict=True):
        for kind, colour in kinds.items():
            for name, style in lines.items():
                values = [row[f"{kind}, {name}"] for row in rows.values()]
                axis.plot(SHARES, values, style, color=colour, label=f"{kind}, {name}")
        axis.set(title=title, xlabel="share of the sound in the mixture", ylim=(0, 1))
        axis.grid(alpha=0.3)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axis.legend(**below, ncols=len(kinds), frameon=False, fontsize=9)
    axes[0].set_ylabel("nearest picture holds it")
    with atomic_path(out) as part:
        figure.savefig(part, dpi=130, format="png")
    pyplot.close(figure)


if __name__ == "__main__":
    main()
