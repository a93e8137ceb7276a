"""What the figures of the cache are made of: settings, marks, draws, intervals."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.modality import Modality, Vectors
from anybind.index.cache import Cache, Weighting
from anybind.world.categories import CATEGORY_NAMES
from anybind.world.scene import scene
from anybind.world.splits import split_ids

from .scripts import script

if TYPE_CHECKING:
    from matplotlib.figure import Figure

evaluate_cache = script("evaluate_cache")
cache_plots = script("cache_plots")
examination = script("examination")
intervals = script("intervals")
Marks = npt.NDArray[np.float64]


def marked(**right: tuple[int, int]) -> Marks:
    """Marks in which a column, by name, has so many right of so many that were asked."""
    marks = np.full((max(n for _, n in right.values()), len(examination.Column)), np.nan)
    for name, (n_right, n) in right.items():
        marks[:n, examination.Column[name]] = np.arange(n) < n_right
    return marks


def heard(captions: int, answers: int) -> Marks:
    """Marks of ten sounds: captions right, and answers of each kind right."""
    right = {name: (answers, 10) for name in ("CATEGORY", "YES", "NO")}
    return marked(CAPTION_CATEGORY=(captions, 10), **right)


def test_the_best_setting_has_the_most_right_and_then_the_least_share() -> None:
    """By hand: captions and answers count half each, so 6 and 8 equal 9 and 5 and beat 9 and 4."""
    low, high = Cache(k=10, alpha=0.3), Cache(k=1, alpha=0.6)
    few, linear = Cache(k=4, alpha=0.3), Cache(k=1, alpha=0.9, weighting=Weighting.LINEAR)
    marks = {
        None: heard(10, 10),  # naive is none of the settings
        high: heard(9, 5),
        low: heard(6, 8),
        Cache(k=1, alpha=0.1): heard(9, 4),
        linear: heard(10, 10),  # of another weighting
    }
    tried = {Modality.AUDIO: marks}
    assert evaluate_cache.best(tried, Modality.AUDIO, Weighting.SOFTMAX) == low
    assert evaluate_cache.best(tried, Modality.AUDIO, Weighting.LINEAR) == linear
    marks[few] = heard(9, 5)
    assert evaluate_cache.best(tried, Modality.AUDIO, Weighting.SOFTMAX) == few


def test_kinds_of_questions_are_counted_apart() -> None:
    """By hand: 5 and 1 of ten claims are 0.3; a sound is asked for no colour, a caption is none."""
    sound = marked(CAPTION_CATEGORY=(10, 10), CATEGORY=(7, 10), YES=(5, 10), NO=(1, 10))
    way = evaluate_cache.Way("default", Cache())
    rows = evaluate_cache.kinds({Modality.AUDIO: {evaluate_cache.NAIVE: sound, way: sound}}, 0)
    assert list(rows) == ["audio, naive", "audio, default"]
    for row in rows.values():
        assert list(row) == ["category", "colour", "place", "yes/no"]
        assert row["category"].value == pytest.approx(0.7)
        assert row["yes/no"].value == pytest.approx(0.3)
        assert row["colour"] is None and row["place"] is None


class Oracle:
    """In place of an answer book: a vector is a scene's place and whether it is told rightly."""

    def __init__(self, tasks: Sequence[Sequence[object]]) -> None:
        self.right = [{task.prompt: task.answer for task in of} for of in tasks]  # type: ignore[attr-defined]

    def ask(self, prompts: Sequence[str], vectors: Vectors, *, what: str) -> list[str]:
        shown = zip(prompts, vectors, strict=True)
        return [self.right[int(v[0])][prompt] if v[1] else "" for prompt, v in shown]


def test_every_way_is_marked_by_its_own_answers() -> None:
    """A scene's right answers earn 1 in every column that is asked, silence 0; the third way is
    told the even scenes alone."""
    scenes = [scene(i) for i in split_ids("validation", 12, offset=0)]
    tasks = [examination.examination(of, Modality.IMAGE) for of in scenes]
    assert len({len(of) for of in tasks}) > 1  # or one scene's answers could pass for another's
    place = np.arange(len(scenes), dtype=np.float32)
    ways = [np.stack((place, told), axis=1) for told in (place * 0 + 1, place * 0, place % 2 == 0)]
    found = evaluate_cache.answered(Oracle(tasks), tasks, ways, "test")
    asked = [{column for task in of for column in task.judges} for of in tasks]
    for way, marks in zip(ways, found, strict=True):
        wanted = np.full(marks.shape, np.nan)
        for row, columns, (_, told) in zip(wanted, asked, way, strict=True):
            row[list(columns)] = told
        np.testing.assert_array_equal(marks, wanted)


def unit(n: int, dim: int, seed: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_a_lottery_draws_any_images_and_says_how_near_they_are() -> None:
    """Scores are inner products; over 4,000 draws of 3 of 12 each image comes up 1,000 times, with
    the deviation of a binomial, √(4000 · ¼ · ¾) ≈ 27."""
    rows = unit(12, 8, seed=0)
    queries = np.tile(rows[:1], (4000, 1))
    found = evaluate_cache.Lottery(rows, 7).search(queries, 3)
    assert all(len(set(ids)) == 3 for ids in found.ids)
    np.testing.assert_allclose(found.scores, (rows @ rows[0])[found.ids], atol=1e-6)
    np.testing.assert_allclose(np.bincount(found.ids.ravel(), minlength=12), 1000, atol=5 * 27)
    again = evaluate_cache.Lottery(rows, 7).search(unit(4000, 8, seed=1), 3)
    np.testing.assert_array_equal(again.ids, found.ids)  # whatever is asked for


def test_naive_shares_have_their_intervals() -> None:
    """Wilson's of one column; an average lies between its columns; what was not asked is empty."""
    row = evaluate_cache.naive_row(
        marked(CAPTION_CATEGORY=(31, 40), CATEGORY=(8, 20), YES=(9, 10), NO=(3, 10)),
        Modality.AUDIO,
        0,
    )
    assert row["caption: category"] == intervals.wilson(31, 40)
    assert row["category"] == intervals.wilson(8, 20)
    assert row["yes/no"].value == pytest.approx((0.9 + 0.3) / 2)
    assert row["answers"].value == pytest.approx(0.4 / 2 + 0.6 / 2)
    assert row["answers"].low < row["answers"].value < row["answers"].high
    assert row["colour"] is None and row["relation"] is None


def test_a_row_of_the_grid_says_how_sure_each_share_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is Wilson's interval of each share; colour is asked of what carries it."""
    monkeypatch.setattr(evaluate_cache, "ALPHAS", (0.5, 1.0))
    monkeypatch.setattr(evaluate_cache, "KS", (4,))
    marks: dict[Cache | None, Marks] = {None: marked(CAPTION_COLOUR=(2, 50))}
    for weighting, right in ((Weighting.SOFTMAX, (20, 30)), (Weighting.LINEAR, (9, 9))):
        for alpha, n in zip((0.5, 1.0), right, strict=True):
            cache = Cache(k=4, alpha=alpha, weighting=weighting)
            marks[cache] = marked(CAPTION_COLOUR=(n, 50))
    graded = {Modality.TEXT: marks, Modality.AUDIO: marks}
    what = examination.Measure.CAPTION_COLOUR
    rows = evaluate_cache.grid_rows(graded, what, 0)
    assert list(rows) == ["text, softmax, k 4", "text, linear, k 4"]
    naive, some, most = (intervals.wilson(n, 50) for n in (2, 20, 30))
    widest = max(of.high - of.value for of in (naive, some))
    widest = max(widest, most.value - most.low)
    wanted = {"naive": naive, "0.5": 0.4, "1": 0.6, "best": f"{most} at 1", "±": widest}
    assert rows["text, softmax, k 4"] == wanted
    assert rows["text, linear, k 4"]["best"] == f"{intervals.wilson(9, 50)} at 0.5"  # of equal ones


def test_what_the_product_would_not_pull_is_called_forced() -> None:
    """The reference is the product's own rule, that of a query of this medium alone."""
    chosen = {Weighting.SOFTMAX: Cache(k=4)}
    for modality in examination.CARRIED:
        names = [way.name for way in evaluate_cache.ways_of(modality, chosen)]
        forced = modality in (Modality.IMAGE, Modality.VIDEO)
        end = ", forced" if forced else ""
        assert names == ["naive", f"default{end}", f"best softmax{end}"]


def test_the_gap_is_the_distance_of_means_and_as_sure_as_they_are() -> None:
    """Scenes lie 3 away along one axis with a deviation of 0.5, so the mean has 0.5/√400."""
    rng = np.random.default_rng(0)
    shown = rng.standard_normal((400, 6)) * 0.5 + np.eye(6)[0] * 3
    images = rng.standard_normal((50, 6)) * 0.01
    found = evaluate_cache.gap(shown, images, 0)
    assert found.value == pytest.approx(np.linalg.norm(shown.mean(axis=0) - images.mean(axis=0)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> "list[Figure]":
    """The figures that would have been written."""
    figures: list[Figure] = []
    monkeypatch.setattr(cache_plots, "_save", lambda figure, out, title: figures.append(figure))
    return figures


def test_the_grids_drawing_has_the_intervals_of_naive_and_best(drawn: "list[Figure]") -> None:
    """The band and the bar end where the intervals do."""
    share = intervals.Estimate
    naive, best = share(0.5, 0.4, 0.6), share(0.8, 0.65, 0.9)
    cached = {
        Cache(k=k, alpha=alpha, weighting=weighting): share(0.55, 0.1, 0.95)
        for weighting in Weighting
        for k in (1, 4)
        for alpha in (0.5, 1.0)
    }
    cached |= {Cache(k=4, alpha=0.5, weighting=weighting): best for weighting in Weighting}
    panels = {"text": cache_plots.Panel(naive=naive, cached=cached)}
    cache_plots.plot_grid(panels, Path("unused"), title="")
    axes = drawn[0].axes[0]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.4, 0.6))
    bars = [segment for bar in axes.collections for segment in bar.get_segments()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(bars, [[[0.5, 0.65], [0.5, 0.9]]] * len(Weighting))


def test_curves_of_mixtures_have_bands(drawn: "list[Figure]") -> None:
    """A band reaches from the lower to the upper ends."""
    curve = {0.0: intervals.wilson(3, 30), 1.0: intervals.wilson(24, 30)}
    ways = [f"{concept}, {way}" for concept in cache_plots.CONCEPTS for way in ("cache", "naive")]
    cache_plots.plot_mixtures(dict.fromkeys(ways, curve), Path("unused"))
    bands = drawn[0].axes[0].collections
    assert len(bands) == len(ways)
    corners = {
        (x, y) for share, of in curve.items() for x, y in ((share, of.low), (share, of.high))
    }
    for band in bands:
        (path,) = band.get_paths()
        assert corners <= {(x, y) for x, y in path.vertices.tolist()}  # type: ignore[union-attr]


def test_captions_are_counted_by_the_number_of_things() -> None:
    """By hand: of four scenes of one thing three are right, of two scenes of two things one is."""
    every = [scene(i) for i in split_ids("validation", 100, offset=0)]
    one = [of for of in every if len(of.objects) == 1]
    two = [of for of in every if len(of.objects) == 2]
    marks = np.full((6, len(examination.Column)), np.nan)
    marks[:, examination.Column.CAPTION_CATEGORY] = [1, 0, 0, 1, 1, 1]
    assert evaluate_cache.by_number(marks, [*one[:2], *two[:2], *one[2:4]]) == {
        "caption: category, one thing": intervals.wilson(3, 4),
        "caption: category, two things": intervals.wilson(1, 2),
    }


def test_a_probe_shows_what_the_cache_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures say their category plainly, sounds that of another scene, and the cache puts the
    pictures of their own in their place: from as many right as are alike by chance, to all."""
    scenes = [of for of in map(scene, split_ids("test", 3000)) if len(of.objects) == 1]
    asked = scenes[:100]
    places = {name: i for i, name in enumerate(CATEGORY_NAMES)}
    rows = np.eye(len(places), dtype=np.float32)
    pictures = rows[[places[of.objects[0].category] for of in scenes]]
    monkeypatch.setattr(evaluate_cache, "blended", lambda vectors, setting, index: pictures[:100])
    found = evaluate_cache.probed(
        SimpleNamespace(
            test=asked,
            index=scenes,
            rows=pictures,
            images=None,
            modalities=[Modality.IMAGE, Modality.AUDIO],
            tested={
                Modality.IMAGE: pictures[:100],
                Modality.AUDIO: np.roll(pictures[:100], 1, axis=0),
            },
            seed=0,
        )
    )
    alike = np.mean(
        [
            a.objects[0].category == b.objects[0].category
            for a, b in zip(asked, [asked[-1], *asked[:-1]], strict=True)
        ]
    )
    assert found["image, naive"]["one thing"].value == 1
    assert found["image, default, forced"]["gain"].value == 0
    assert found["audio, naive"]["names category"].value == pytest.approx(alike)
    assert found["audio, default"]["gain"].value == pytest.approx(1 - alike)
