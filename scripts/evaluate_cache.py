"""Whether the cache closes the modality gap: what the language model says of unseen scenes.

It was tuned on vectors of images alone. Here it captions and answers questions about vectors of
every modality, as they are (naive) and blended with their nearest images in an index (the cache).
Share and number of those images are chosen on validation scenes, over a grid; the tables of the
claim are of test scenes. None of the scenes asked about is in the index.

Answers are kept on disk and nothing is asked twice: stop it, and run it again to go on.

    python scripts/evaluate_cache.py --plot docs/images
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from answer_book import BOOKS, AnswerBook
from cache_plots import Panel, plot_grid, plot_mixtures, plot_test
from examination import (
    CARRIED,
    UNCOUNTED,
    Column,
    Measure,
    Task,
    chance,
    examination,
    mark,
    short_examination,
    weights_of,
    without_uncounted,
)
from gallery import SEED_STRIDE, embed, evaluation_parser
from intervals import Difference, Estimate, difference, estimate, measure, wilson
from probe import Probe
from tqdm import tqdm

from anybind.cores import available_cores
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.modality import Modality, Vectors
from anybind.index import faiss_index
from anybind.index.cache import Cache, Searchable, Weighting
from anybind.index.faiss_index import Ids
from anybind.index.mixing import mix
from anybind.index.neighbours import Neighbours
from anybind.llm.base import PRECISIONS
from anybind.llm.presets import MINI
from anybind.llm.prompt import CAPTION, format_prompt
from anybind.world.mentions import named
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

ALPHAS = tuple(i / 10 for i in range(1, 11))  # beside 0, which is the naive way
KS = (1, 4, 10, 32)
SHARES = tuple(i / 10 for i in range(11))  # of the sound in a mixture with a picture
SAMPLES = 10  # test scenes whose answers are printed, the first ones
LEAST = 50  # scenes of a table: with fewer, a kind of question may not occur
DEFAULT = Cache()
MEASURES = (Measure.CAPTION_CATEGORY, Measure.CAPTION_COLOUR, Measure.ANSWERS)
FORCED = ", forced"  # behind the name of what is pulled here and, by default, not in the product

Setting = Cache | None  # None: without the cache
Cell = float | str | Estimate | Difference | None
Rows = dict[str, dict[str, Cell]]  # by row, by column
Shares = dict[str, dict[str, Estimate]]  # the same, of shares alone
Table = Mapping[str, Mapping[str, Cell]]  # either
Marks = npt.NDArray[np.float64]  # (scenes, columns), see examination
Graded = Mapping[Modality, Mapping[Setting, Marks]]


def main() -> None:
    parser = evaluation_parser(__doc__, queries=1_000)
    add = parser.add_argument
    add("--base", type=Path, default=MINI, help="folder of the language model")
    add("--adapter", type=Path, default=MINI / "adapter.safetensors")
    add(
        "--linear-adapter",
        type=Path,
        help="one with a linear projection as its bind network (default: linear.safetensors\n"
        "beside --adapter, if it is there)",
    )
    add("--precision", choices=["auto", *PRECISIONS], default="auto", help="of the language model")
    add("--batch", type=int, default=64, help="prompts answered at once")
    on_gpu = torch.cuda.is_available()
    add(
        "--workers",
        type=int,
        default=0 if on_gpu else available_cores(),
        help="processes that answer, of one thread and with a model of its own each; 0: this one",
    )
    add("--validation", type=int, default=200, help="scenes that the grid is measured on")
    add("--few", type=int, default=500, help="test scenes of the comparisons after the claim")
    add("--pairs", type=int, default=300, help="pictures that are mixed with a sound")
    add("--answers", type=Path, default=BOOKS, help="folder that keeps answers between runs")
    add("--plot", type=Path, metavar="DIR", help="draw cache-*.png there")
    args = parser.parse_args()
    if min(args.queries, args.validation, args.few) < LEAST:
        parser.error(f"give at least {LEAST} scenes to --queries, --validation and --few")

    beside: Path = args.adapter.with_name("linear.safetensors")
    linear_adapter: Path | None = args.linear_adapter or (beside if beside.exists() else None)
    encoder = load_encoder(args.encoder)
    print("# What the cache does to answers: all tables\n")
    print("Printed by `scripts/evaluate_cache.py`; what it finds is told in [the cache](cache.md).")
    print(
        f"{encoder.name}, {args.base.name}: {args.queries:,} unseen scenes, {args.images:,} unseen "
        f"images, {args.validation:,} validation scenes, seed {args.seed}."
    )
    open_book = partial(
        AnswerBook,
        args.base,
        folder=args.answers,
        precision=args.precision,
        batch_size=args.batch,
        workers=args.workers,
    )
    tables: dict[str, Table] = {}
    with open_book(args.adapter) as book:
        offset = SEED_STRIDE * args.seed
        evaluation = Evaluation(
            encoder,
            book,
            index=scenes_of("test", args.images, offset),
            test=scenes_of("test", args.queries, offset + args.images),
            validation=scenes_of("validation", args.validation, offset),
            n_few=min(args.few, args.queries),
            seed=args.seed,
            cache=args.cache,
        )
        plan(evaluation, args.pairs, linear=linear_adapter is not None)
        tables["naive"] = naive(evaluation)
        show("Without the cache", tables["naive"])
        if book.made:
            print(f"{book.made / book.seconds:.0f} answers a second here", file=sys.stderr)

        graded = grid(evaluation)
        for what in MEASURES:
            tables[f"grid, {what}"] = grid_rows(graded, what, args.seed)
            show(
                f"Validation scenes, by alpha: {what}",
                tables[f"grid, {what}"],
                "medium, cache",
                note=True,
            )
        chosen = {
            modality: {weighting: best(graded, modality, weighting) for weighting in Weighting}
            for modality in graded
        }
        claimed = claim(evaluation, chosen)
        tables["test"] = claim_rows(claimed, args.seed)
        show("Test scenes, settings chosen on validation scenes", tables["test"], note=True)
        tables["kinds"] = kinds(claimed, args.seed)
        show("The same by kind of question", tables["kinds"], note=True)
        tables["probe"] = probed(evaluation)
        show("A linear probe instead of the language model", tables["probe"], note=True)
        tables["why"] = why(evaluation)
        show("What the cache does to the vectors", tables["why"], note=True)
        tables["contents"] = contents(evaluation)
        show("What is in the cache", tables["contents"], note=True)
        if linear_adapter:
            with open_book(linear_adapter) as linear:
                tables["projection"] = projection(evaluation, linear)
            show("Bind network and linear projection", tables["projection"], note=True)
        tables["mixtures"] = mixed = mixtures(evaluation, args.pairs)
        show("A picture with a sound of something else", mixed, "share of the sound")
        tables["samples"] = samples(evaluation)
        show(f"The first {SAMPLES} test scenes", tables["samples"], "medium, scene", note=True)
    if args.plot:
        draw(graded, claimed, mixed, args.seed, args.plot)
    if args.json:
        facts = {"seed": args.seed, "queries": args.queries, "images": args.images, **tables}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


def scenes_of(split: str, n: int, offset: int) -> list[Scene]:
    """Consecutive scenes of a split, as they come: a quarter have two things."""
    return [scene(number) for number in split_ids(split, n, offset=offset)]


# ------------------------------------------------------------------------------ what is searched


class Images:
    """Vectors of images in memory, searched exactly; a :class:`.cache.Searchable`."""

    modality = Modality.IMAGE

    def __init__(self, rows: Vectors) -> None:
        """``rows`` are unit vectors, ``(n, dim)``."""
        self._rows = rows
        self._flat = faiss_index.make("Flat", rows.shape[1])
        self._flat.add(rows)

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """The ``k`` nearest to each query."""
        scores, ids = faiss_index.search(self._flat, queries, k)
        return Neighbours(scores=scores, ids=ids)

    def vectors(self, ids: npt.ArrayLike) -> Vectors:
        """The vectors of items."""
        found: Vectors = self._rows[np.asarray(ids)]
        return found


class Lottery(Images):
    """The same images, of which a search draws any, whatever is asked for."""

    def __init__(self, rows: Vectors, seed: int) -> None:
        super().__init__(rows)
        self._seed = seed

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """``k`` images drawn without replacement, and how near each query they are."""
        rng = np.random.default_rng(self._seed)
        drawn = [rng.choice(len(self._rows), k, replace=False, shuffle=False) for _ in queries]
        ids: Ids = np.stack(drawn).astype(np.int64)
        scores: Vectors = np.einsum("nd,nkd->nk", queries, self._rows[ids])
        return Neighbours(scores=scores, ids=ids)


def random_directions(like: Vectors, seed: int) -> Vectors:
    """Unit vectors that mean nothing, as many as others and of their ``dim``."""
    rows = np.random.default_rng(seed).standard_normal(like.shape, dtype=np.float32)
    out: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


class Evaluation:
    """The scenes, their vectors of every modality, and the language model that is asked."""

    def __init__(
        self,
        encoder: Encoder,
        book: AnswerBook,
        *,
        index: Sequence[Scene],
        test: Sequence[Scene],
        validation: Sequence[Scene],
        n_few: int,
        seed: int,
        cache: Path,
    ) -> None:
        """Embed everything, or read what was kept of it.

        Args:
            encoder: Of the media.
            book: Answers about vectors of its space.
            index: Whose pictures the cache draws on.
            test: Asked about, in the tables.
            validation: Asked about, in the grid.
            n_few: Test scenes that the comparisons after the claim are content with.
            seed: Of what is drawn at random.
            cache: Folder that keeps vectors.
        """
        self.book, self.seed = book, seed
        self.index, self.test, self.few = index, test, test[:n_few]
        self.validation = validation
        self.modalities = [m for m in CARRIED if m in encoder.modalities]
        self.rows = embed(encoder, Modality.IMAGE, index, cache=cache)
        self.images = Images(self.rows)
        self.tested: dict[Modality, Vectors] = {}
        self.validated: dict[Modality, Vectors] = {}
        for modality in tqdm(self.modalities, unit=" modality", leave=False):
            self.tested[modality] = embed(encoder, modality, test, cache=cache)
            self.validated[modality] = embed(encoder, modality, validation, cache=cache)


def blended(vectors: Vectors, setting: Setting, index: Searchable) -> Vectors:
    """Vectors as the language model is shown them."""
    return vectors if setting is None else setting.enhance(vectors, index).vectors


def answered(
    book: AnswerBook, tasks: Sequence[Sequence[Task]], ways: Sequence[Vectors], what: str
) -> list[Marks]:
    """Ask everything about every scene, shown in several ways.

    Args:
        book: Whom to ask.
        tasks: Of each scene.
        ways: Vectors ``(scenes, dim)`` each.
        what: Stands before the bar on stderr.

    Returns:
        Marks, one a way.
    """
    places = [place for place, asked in enumerate(tasks) for _ in asked]
    prompts = [task.prompt for asked in tasks for task in asked]
    shown = np.concatenate([vectors[places] for vectors in ways])
    texts = iter(book.ask(prompts * len(ways), shown, what=what))
    return [mark(tasks, [[next(texts) for _ in asked] for asked in tasks]) for _ in ways]


def plan(evaluation: Evaluation, n_pairs: int, *, linear: bool) -> None:
    """Say on stderr how many answers each part needs at most; those that are kept cost nothing."""
    parts = {"naive": 0, "grid": 0, "test": 0, "contents": 0, "projection": 0}
    for modality in evaluation.modalities:
        every = [examination(of, modality) for of in evaluation.test]
        averaged = sum(len(without_uncounted(tasks)) for tasks in every)
        few = sum(len(short_examination(of, modality)) for of in evaluation.few)
        parts["naive"] += sum(map(len, every))
        parts["test"] += averaged * (1 + len(Weighting))
        parts["contents"] += 2 * few
        parts["projection"] += 2 * few * linear
        for of in evaluation.validation:
            parts["grid"] += len(short_examination(of, modality)) * (1 + len(settings_of_grid()))
    parts["mixtures"] = 2 * len(SHARES) * n_pairs
    told = ", ".join(f"{name} {n:,}" for name, n in parts.items() if n)
    print(f"answers at most: {told}; {sum(parts.values()):,} in all", file=sys.stderr)


# ------------------------------------------------------------------------------ without the cache


def naive(evaluation: Evaluation) -> Rows:
    """What is right about every medium as it is; beside it chance, and a model that sees nothing.

    Chance is the right answers to other scenes; a blind model is shown the zero vector.
    """
    book, test, seed = evaluation.book, evaluation.test, evaluation.seed
    rows: Rows = {}
    for modality in evaluation.modalities:
        tasks = [examination(of, modality) for of in test]
        (marks,) = answered(book, tasks, [evaluation.tested[modality]], f"naive {modality}")
        rows[modality] = naive_row(marks, modality, seed) | by_number(marks, test)
        if modality is not Modality.IMAGE:
            continue
        chinese = [examination(of, modality, "zh") for of in test]
        (marks,) = answered(book, chinese, [evaluation.tested[modality]], "in Chinese")
        rows["image, in Chinese"] = naive_row(marks, modality, seed) | by_number(marks, test)
        (marks,) = answered(book, tasks, [np.zeros_like(evaluation.tested[modality])], "blind")
        rows["image, blind"] = naive_row(marks, modality, seed)
        rows["image, chance"] = naive_row(chance(tasks, seed=seed), modality, seed)
    return rows


def naive_row(marks: Marks, modality: Modality, seed: int) -> dict[str, Cell]:
    """Captions; the average over questions, and what it is taken over; the rest."""
    weights = {
        "caption: category": weights_of(modality, Measure.CAPTION_CATEGORY),
        "caption: colour": weights_of(modality, Measure.CAPTION_COLOUR),
        "answers": weights_of(modality, Measure.ANSWERS),
        **KINDS,
    }
    return {name: known(marks, of, seed) for name, of in weights.items()}


def by_number(marks: Marks, scenes: Sequence[Scene]) -> dict[str, Cell]:
    """How many captions name what is there, of scenes of one thing and of scenes of two."""
    named = marks[:, Column.CAPTION_CATEGORY]
    return {
        f"caption: category, {words}": wilson(int(named[those].sum()), int(those.sum()))
        for words, those in numbered(scenes).items()
    }


def numbered(scenes: Sequence[Scene]) -> dict[str, npt.NDArray[np.bool_]]:
    """Which of the scenes show one thing, and which two."""
    n_things = np.array([len(of.objects) for of in scenes])
    return {"one thing": n_things == 1, "two things": n_things == 2}


def only(of: Column) -> Marks:
    """The weights of the share of one column."""
    weights: Marks = np.eye(len(Column))[of]
    return weights


KINDS: Mapping[str, Marks] = {  # of questions
    "category": only(Column.CATEGORY),
    "colour": only(Column.COLOUR),
    "place": only(Column.PLACE),
    "yes/no": (only(Column.YES) + only(Column.NO)) / 2,
    "count": only(Column.COUNT),
    "relation": only(Column.RELATION),
}


def known(marks: Marks, weights: Marks, seed: int) -> Estimate | None:
    """A measure with its interval; None where nothing was asked."""
    return None if np.isnan(measure(marks, weights)) else estimate(marks, weights, seed=seed)


# ------------------------------------------------------------------------------ the grid


def settings_of_grid() -> list[Cache]:
    """All settings of the cache that are tried."""
    return [
        Cache(k=k, alpha=alpha, weighting=weighting)
        for weighting, k, alpha in product(Weighting, KS, ALPHAS)
    ]


def grid(evaluation: Evaluation) -> Graded:
    """Marks of a caption and a question about every validation scene, for every setting."""
    settings: list[Setting] = [None, *settings_of_grid()]
    graded: dict[Modality, dict[Setting, Marks]] = {}
    for modality in evaluation.modalities:
        vectors = evaluation.validated[modality]
        ways = [blended(vectors, setting, evaluation.images) for setting in settings]
        tasks = [short_examination(of, modality) for of in evaluation.validation]
        marks = answered(evaluation.book, tasks, ways, f"grid {modality}")
        graded[modality] = dict(zip(settings, marks, strict=True))
    return graded


def best(graded: Graded, modality: Modality, weighting: Weighting) -> Cache:
    """The setting with the most right captions and answers; of equal ones the least share."""
    weights = weights_of(modality, Measure.ALL)
    tried = {s: m for s, m in graded[modality].items() if s and s.weighting == weighting}
    return max(tried, key=lambda s: (measure(tried[s], weights), -s.alpha, -s.k))


def grid_rows(graded: Graded, what: Measure, seed: int) -> Rows:
    """One measure by medium, weighting and k (rows) and by alpha (columns).

    The naive share and the best one have their intervals; ``±`` is from a share of the row to the
    farther end of its own, at most.
    """
    rows: Rows = {}
    for modality, marks in graded.items():
        if what is Measure.CAPTION_COLOUR and "colour" not in CARRIED[modality]:
            continue
        weights = weights_of(modality, what)
        naive_one = estimate(marks[None], weights, seed=seed)
        for weighting, k in product(Weighting, KS):
            cached = {
                alpha: estimate(
                    marks[Cache(k=k, alpha=alpha, weighting=weighting)], weights, seed=seed
                )
                for alpha in ALPHAS
            }
            top = max(cached, key=lambda alpha: (cached[alpha].value, -alpha))
            row: dict[str, Cell] = {"naive": naive_one}
            row |= {f"{alpha:g}": share.value for alpha, share in cached.items()}
            row |= {
                "best": f"{cached[top]} at {top:g}",
                "±": max(share.half_width for share in (naive_one, *cached.values())),
            }
            rows[f"{modality}, {weighting}, k {k}"] = row
    return rows


# ------------------------------------------------------------------------------ the claim


@dataclass(frozen=True)
class Way:
    """A way of showing a medium, by name."""

    name: str
    setting: Setting


NAIVE = Way("naive", None)
Chosen = Mapping[Modality, Mapping[Weighting, Cache]]  # best of the grid
Claimed = Mapping[Modality, Mapping[Way, Marks]]


def ways_of(modality: Modality, chosen: Mapping[Weighting, Cache]) -> list[Way]:
    """Without the cache, by its default, and as was best on the validation scenes."""
    settings = {"default": DEFAULT} | {f"best {name}": each for name, each in chosen.items()}
    forced = forced_on(modality)
    return [NAIVE, *(Way(f"{name}{forced}", setting) for name, setting in settings.items())]


def forced_on(modality: Modality) -> str:
    """What stands behind the cache's name beside a medium: the product shows images and videos as
    they are, so that their naive way is its default."""
    return "" if DEFAULT.applies([modality]) else FORCED


def claim(evaluation: Evaluation, chosen: Chosen) -> Claimed:
    """Marks of everything an average is taken over, about every test scene, shown in four ways."""
    claimed: dict[Modality, dict[Way, Marks]] = {}
    for modality in evaluation.modalities:
        ways = ways_of(modality, chosen[modality])
        vectors = evaluation.tested[modality]
        shown = [blended(vectors, way.setting, evaluation.images) for way in ways]
        tasks = [without_uncounted(examination(of, modality)) for of in evaluation.test]
        marks = answered(evaluation.book, tasks, shown, f"test {modality}")
        claimed[modality] = dict(zip(ways, marks, strict=True))
    return claimed


def claim_rows(claimed: Claimed, seed: int) -> Rows:
    """Measures with their intervals, and what each way gains over the naive one on the same scenes.

    Gains are of captions and answers in equal parts, by the paired bootstrap.
    """
    rows: Rows = {}
    for modality, marks in claimed.items():
        before = marks[NAIVE]
        for way, after in marks.items():
            row: dict[str, Cell] = {"setting": told(way.setting)}
            for what in MEASURES:
                weights = weights_of(modality, what)
                asked = what is not Measure.CAPTION_COLOUR or "colour" in CARRIED[modality]
                row[what] = estimate(after, weights, seed=seed) if asked else None
            weights = weights_of(modality, Measure.ALL)
            row["gain"] = None if way is NAIVE else difference(after, before, weights, seed=seed)
            rows[f"{modality}, {way.name}"] = row
    return rows


def kinds(claimed: Claimed, seed: int) -> Rows:
    """What is right by kind of question; count and relation are not asked here."""
    return {
        f"{modality}, {way.name}": {
            kind: known(marks, weights, seed)
            for kind, weights in KINDS.items()
            if kind not in UNCOUNTED
        }
        for modality, ways in claimed.items()
        for way, marks in ways.items()
    }


def told(setting: Setting) -> str:
    """A setting in a table."""
    if setting is None:
        return "–"
    return f"{setting.weighting}, k {setting.k}, α {setting.alpha:g}"


# ------------------------------------------------------------------------------ the comparisons


def probed(evaluation: Evaluation) -> Rows:
    """What a linear probe, fitted to the index's pictures, names; naive and with the cache."""
    scenes, seed = evaluation.test, evaluation.seed
    probe = Probe(evaluation.rows, evaluation.index, seed=seed)
    rows: Rows = {}
    for modality in evaluation.modalities:
        vectors = evaluation.tested[modality]
        before = probe.right(vectors, scenes)
        after = probe.right(blended(vectors, DEFAULT, evaluation.images), scenes)
        name = f"default{forced_on(modality)}"
        for way, right in {"naive": before, name: after}.items():
            row: dict[str, Cell] = {"names category": mean(right, seed)}
            row |= {words: mean(right[those], seed) for words, those in numbered(scenes).items()}
            rows[f"{modality}, {way}"] = row
        rows[f"{modality}, {name}"]["gain"] = difference(
            after[:, None].astype(np.float64),
            before[:, None].astype(np.float64),
            np.ones(1),
            seed=seed,
        )
    return rows


def why(evaluation: Evaluation) -> Rows:
    """Where vectors lie before and after the default cache, and which images it blended them with.

    The gap is the distance of a modality's mean vector from that of images; ``own picture`` is the
    cosine with the same scene's picture; an image is right if it shares a category with the scene.
    """
    pictures, seed = evaluation.tested[Modality.IMAGE], evaluation.seed
    held = [frozenset(item.category for item in of.objects) for of in evaluation.index]
    rows: Rows = {}
    for modality in evaluation.modalities:
        vectors = evaluation.tested[modality]
        found = DEFAULT.enhance(vectors, evaluation.images)
        right = np.array(
            [
                [bool(held[i] & {item.category for item in of.objects}) for i in ids]
                for of, ids in zip(evaluation.test, found.ids, strict=True)
            ]
        )
        row: dict[str, Cell] = {}
        for name, shown in {"naive": vectors, "cache": found.vectors}.items():
            row[f"gap, {name}"] = gap(shown, evaluation.rows, seed)
            row[f"own picture, {name}"] = mean((shown * pictures).sum(axis=1), seed)
        row["right images, by weight"] = mean((right * found.weights).sum(axis=1), seed)
        row["nearest image right"] = mean(right[:, 0], seed)
        rows[modality] = row
    return rows


def mean(values: npt.ArrayLike, seed: int) -> Estimate:
    """The mean over scenes, with its interval."""
    return estimate(np.asarray(values, np.float64)[:, None], np.ones(1), seed=seed)


def gap(shown: Vectors, images: Vectors, seed: int) -> Estimate:
    """The distance of the mean of ``shown`` from that of ``images``.

    It is the mean of the scenes' parts in its own direction, whose interval is that of the distance
    where this is large beside it; the mean of the images counts as known.
    """
    centre = images.mean(axis=0, dtype=np.float64)
    apart = shown.mean(axis=0, dtype=np.float64) - centre
    return mean((shown - centre) @ (apart / np.linalg.norm(apart)), seed)


def contents(evaluation: Evaluation) -> Rows:
    """Whether it matters what the default cache holds and finds.

    The nearest images; images drawn at random; and the nearest of as many random directions.
    """
    seed = evaluation.seed
    caches: dict[str, Searchable | None] = {
        "no cache": None,
        "nearest images": evaluation.images,
        "random images": Lottery(evaluation.rows, seed),
        "random directions": Images(random_directions(evaluation.rows, seed)),
    }
    rows: Rows = {}
    for modality in evaluation.modalities:
        vectors = evaluation.tested[modality][: len(evaluation.few)]
        shown = [
            vectors if index is None else blended(vectors, DEFAULT, index)
            for index in caches.values()
        ]
        tasks = [short_examination(of, modality) for of in evaluation.few]
        marks = answered(evaluation.book, tasks, shown, f"contents {modality}")
        forced = forced_on(modality)
        names = [name if index is None else f"{name}{forced}" for name, index in caches.items()]
        rows |= compared(dict(zip(names, marks, strict=True)), modality, seed)
    return rows


def projection(evaluation: Evaluation, linear: AnswerBook) -> Rows:
    """The bind network beside a single linear projection, naive and with the default cache."""
    rows: Rows = {}
    for modality in evaluation.modalities:
        vectors = evaluation.tested[modality][: len(evaluation.few)]
        shown = [blended(vectors, setting, evaluation.images) for setting in (None, DEFAULT)]
        tasks = [short_examination(of, modality) for of in evaluation.few]
        marks: dict[str, Marks] = {}
        for name, book in {"bind network": evaluation.book, "linear": linear}.items():
            before, after = answered(book, tasks, shown, f"{name} {modality}")
            marks |= {f"{name}, naive": before, f"{name}, cache{forced_on(modality)}": after}
        rows |= compared(marks, modality, evaluation.seed)
    return rows


def compared(marks: Mapping[str, Marks], modality: Modality, seed: int) -> Rows:
    """Ways of a modality with their intervals, and the gain of each over the first."""
    first = next(iter(marks.values()))
    rows: Rows = {}
    for name, of in marks.items():
        row: dict[str, Cell] = {
            what: estimate(of, weights_of(modality, what), seed=seed)
            for what in (Measure.CAPTION_CATEGORY, Measure.ANSWERS)
        }
        weights = weights_of(modality, Measure.ALL)
        row["gain"] = None if of is first else difference(of, first, weights, seed=seed)
        rows[f"{modality}, {name}"] = row
    return rows


def mixtures(evaluation: Evaluation, n: int) -> Shares:
    """Which of two things a caption names when a picture and a sound of another are mixed.

    After figure 13 of ImageBind-LLM, https://arxiv.org/abs/2309.03905.
    """
    if Modality.AUDIO not in evaluation.modalities:
        return {}
    rng = np.random.default_rng(evaluation.seed)
    alone = [i for i, of in enumerate(evaluation.test) if len(of.objects) == 1]
    category = {i: evaluation.test[i].objects[0].category for i in alone}
    seen = alone[:n]
    heard = [int(rng.choice([j for j in alone if category[j] != category[i]])) for i in seen]
    pictures = evaluation.tested[Modality.IMAGE][seen]
    sounds = evaluation.tested[Modality.AUDIO][heard]
    prompt = format_prompt(CAPTION)
    rows: Shares = {}
    for share in SHARES:
        mixed = np.stack(
            [mix(np.stack(pair), (1 - share, share)) for pair in zip(pictures, sounds, strict=True)]
        )
        row: dict[str, Estimate] = {}
        for name, setting in {"naive": None, "cache": DEFAULT}.items():
            shown = blended(mixed, setting, evaluation.images)
            texts = evaluation.book.ask([prompt] * len(seen), shown, what=f"mixed {share:g}")
            values = [named(text, "category") for text in texts]
            picture = np.array([category[i] in v for i, v in zip(seen, values, strict=True)])
            sound = np.array([category[j] in v for j, v in zip(heard, values, strict=True)])
            row[f"the picture's, {name}"] = wilson(int(picture.sum()), len(seen))
            row[f"the sound's, {name}"] = wilson(int(sound.sum()), len(seen))
            row[f"both, {name}"] = wilson(int((picture & sound).sum()), len(seen))
        rows[f"{share:.1f}"] = row
    return rows


def samples(evaluation: Evaluation) -> Rows:
    """What is said of the first test scenes, word for word, naive and with the default cache."""
    book, scenes = evaluation.book, evaluation.test[:SAMPLES]
    rows: Rows = {}
    for modality in evaluation.modalities:
        naive_ones = evaluation.tested[modality][: len(scenes)]
        cached = blended(naive_ones, DEFAULT, evaluation.images)
        for of, shown in zip(scenes, np.stack((naive_ones, cached), axis=1), strict=True):
            row: dict[str, Cell] = {}
            for task in short_examination(of, modality):
                is_caption = task.kind == "caption"
                texts = book.ask([task.prompt] * len(shown), shown, what="samples")
                if not is_caption:
                    row["question"] = task.request
                row["there is" if is_caption else "right answer"] = task.answer
                what = "caption" if is_caption else "answer"
                row |= {f"{what}, naive": texts[0], f"{what}, cache": texts[1]}
            rows[f"{modality}, {of.id}"] = row
    return rows


# ------------------------------------------------------------------------------ showing


def show(title: str, rows: Table, first: str = "medium", *, note: bool = False) -> None:
    """Print a table as Markdown; what a row lacks is a dash.

    Args:
        title: Stands above it.
        rows: May be empty, and then nothing is printed.
        first: Names the first column.
        note: Say that pictures and videos go through the cache here alone.
    """
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print(f"\n## {title}")
    if note:
        print("\nThe cache is forced on images and videos, which the product shows as they are.")
    print(f"\n| {first} | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * len(columns)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(cell(row.get(column)) for column in columns)} |", flush=True)


def cell(value: Cell) -> str:
    """A value in a table."""
    if value is None:
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("\n", " ").replace("|", "\\|")


def draw(graded: Graded, claimed: Claimed, mixed: Shares, seed: int, folder: Path) -> None:
    """Draw the grid, the claim and the mixtures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in zip(("captions", "colours", "answers"), MEASURES, strict=True):
        panels = {
            drawn_as(modality): Panel(
                naive=estimate(marks[None], weights_of(modality, what), seed=seed),
                cached={
                    setting: estimate(of, weights_of(modality, what), seed=seed)
                    for setting, of in marks.items()
                    if setting
                },
            )
            for modality, marks in graded.items()
            if what is not Measure.CAPTION_COLOUR or "colour" in CARRIED[modality]
        }
        plot_grid(panels, folder / f"cache-{name}.png", title=f"Validation scenes: {what}")
    shares = {
        what.value: {
            drawn_as(modality): [
                estimate(of, weights_of(modality, what), seed=seed) for of in marks.values()
            ]
            for modality, marks in claimed.items()
        }
        for what in (Measure.CAPTION_CATEGORY, Measure.ANSWERS)
    }
    ways = [way.name.removesuffix(FORCED) for way in next(iter(claimed.values()))]
    plot_test(shares, ways, folder / "cache-test.png")
    if mixed:
        curves = {
            column: {float(share): row[column] for share, row in mixed.items()}
            for column in next(iter(mixed.values()))
        }
        plot_mixtures(curves, folder / "cache-mixtures.png")


def drawn_as(modality: Modality) -> str:
    """The name of a medium in a drawing."""
    return modality if DEFAULT.applies([modality]) else f"{modality} (cache forced)"


if __name__ == "__main__":
    main()
