"""Scenes as facts: what ids decide, how splits keep apart, what captions say."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from anybind.errors import UsageError
from anybind.world.assembly import Stream
from anybind.world.captions import PLACES_EN, PLACES_ZH, RELATIONS_EN, caption, captions
from anybind.world.categories import CATEGORIES, CATEGORY_NAMES, CATEGORY_OF
from anybind.world.colours import COLOUR_NAMES, COLOUR_OF, COLOURS
from anybind.world.scene import Place, Relation, scene
from anybind.world.splits import HELD_OUT_COLOUR, SPLITS, is_held_out, split_ids, split_of


def test_the_world_is_as_large_as_its_documentation_says() -> None:
    """The design asks for at least 40 categories in 6 groups, 10 colours, 8 places."""
    assert len(CATEGORIES) == len(set(CATEGORY_NAMES)) == 50
    assert len({category.group for category in CATEGORIES}) == 6
    assert len(COLOURS) == 10
    assert len(Place) == 8


def test_no_two_categories_share_a_word() -> None:
    """A text that names one category must not name another, in either language."""
    english = [word for c in CATEGORIES for word in (c.name, *c.synonyms)]
    assert len(english) == len(set(english))
    assert len({category.name_zh for category in CATEGORIES}) == len(CATEGORIES)


def test_a_scene_does_not_depend_on_what_was_made_before_it() -> None:
    """Forward and backward through the ids gives the same scenes."""
    ids = range(20_000_000, 20_000_050)
    forward = [scene(i) for i in ids]
    backward = [scene(i) for i in reversed(ids)]
    assert forward == backward[::-1]


def test_scenes_stay_what_they_were_when_the_shipped_weights_were_trained() -> None:
    """Recorded when the world was fixed; a change here asks for a new WORLD_VERSION."""
    assert caption(scene(0)) == "a black car in the forest"
    assert caption(scene(20_000_000)) == "a red rain cloud on the moon"
    assert [caption(scene(i)) for i in range(20, 24)] == [
        "a red bicycle in front of a white lamp on snow",
        "a brown elephant to the left of a blue rocket in the desert",
        "an orange lamp on snow",
        "a green xylophone in a meadow",
    ]
    assert Stream(7, "pose").uniform() == 0.45053085208888466


def test_a_quarter_of_the_scenes_has_two_objects_and_all_values_occur_equally_often() -> None:
    """Expected counts of 4000 uniform draws, within 5 standard deviations."""
    scenes = [scene(i) for i in range(4000)]
    pairs = sum(len(of.objects) == 2 for of in scenes)
    assert pairs == pytest.approx(1000, abs=5 * (4000 * 0.25 * 0.75) ** 0.5)
    for counts, n in (
        (Counter(of.place for of in scenes), len(Place)),
        (Counter(of.objects[0].category for of in scenes), len(CATEGORIES)),
        (Counter(of.objects[0].colour for of in scenes), len(COLOURS)),
    ):
        assert len(counts) == n
        for count in counts.values():
            assert count == pytest.approx(4000 / n, abs=5 * (4000 / n) ** 0.5)


def test_two_objects_are_of_different_categories_and_stand_as_their_relation_says() -> None:
    """The camera's right is +x and it looks along +y, so nearer means smaller y."""
    pairs = [of for of in map(scene, range(800)) if of.relation is not None]
    assert {of.relation for of in pairs} == set(Relation)
    for of in pairs:
        a, b = of.objects
        assert a.category != b.category
        if of.relation is Relation.LEFT:
            assert a.position[0] < b.position[0]
        elif of.relation is Relation.RIGHT:
            assert a.position[0] > b.position[0]
        else:
            assert a.position[1] < b.position[1]


def test_held_out_pairs_occur_in_the_compositional_split_alone() -> None:
    """Looked up pair by pair over thousands of scenes of every split."""
    for split in SPLITS:
        for i in split_ids(split, 3000):
            of = scene(i)
            assert of.split == split
            held_out = [is_held_out(item.category, item.colour) for item in of.objects]
            if split == "compositional":
                assert held_out[0] and not any(held_out[1:])
            else:
                assert not any(held_out)


def test_a_tenth_of_the_pairs_is_held_out_evenly() -> None:
    """50 categories lose one colour each, so each of 10 colours loses 5 categories."""
    assert set(HELD_OUT_COLOUR) == set(CATEGORY_NAMES)
    assert Counter(HELD_OUT_COLOUR.values()) == {colour: 5 for colour in COLOUR_NAMES}


def test_splits_are_ranges_of_ids() -> None:
    """Written out from the documented ranges."""
    assert split_ids("train", 3) == range(0, 3)
    assert split_ids("validation", 3) == range(10_000_000, 10_000_003)
    assert split_ids("test", 2, offset=5) == range(20_000_005, 20_000_007)
    assert split_of(39_999_999) == "compositional"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: split_ids("tests", 3),
        lambda: split_ids("test", 10_000_001),
        lambda: split_ids("test", -1),
        lambda: scene(-1),
        lambda: scene(40_000_000),
    ],
)
def test_what_does_not_exist_is_refused(ask: Callable[[], object]) -> None:
    """Beyond the documented ranges."""
    with pytest.raises(UsageError):
        ask()


def test_the_primary_caption_names_category_colour_place_and_relation() -> None:
    """Read against the scene's own fields."""
    for of in map(scene, range(500)):
        text, chinese = caption(of), caption(of, "zh")
        for item in of.objects:
            assert f"{item.colour} {item.category}" in text
            assert CATEGORY_OF[item.category].name_zh in chinese
            assert COLOUR_OF[item.colour].name_zh in chinese
        assert text.endswith(PLACES_EN[of.place][0])
        assert PLACES_ZH[of.place][0] in chinese
        if of.relation is not None:
            assert RELATIONS_EN[of.relation] in text


def test_captions_never_name_a_colour_or_a_category_that_is_not_there() -> None:
    """Every word of the ten colours and of all categories' names is looked for."""
    words = {word: c.name for c in CATEGORIES for word in (c.name, *c.synonyms)}
    names = re.compile(r"\b(" + "|".join(sorted(words, key=len, reverse=True)) + r")\b")
    colours = re.compile(r"\b(" + "|".join(COLOUR_NAMES) + r")\b")
    for of in map(scene, range(500)):
        for said in captions(of):
            if said.language == "en":
                named = {words[word] for word in names.findall(said.text.lower())}
                assert named <= {item.category for item in of.objects}, said.text
                assert named, said.text
                coloured = set(colours.findall(said.text.lower()))
                assert coloured <= {item.colour for item in of.objects}, said.text


def test_captions_come_in_both_languages_with_the_primary_one_first() -> None:
    """The primary captions are those of ``caption``; none is said twice."""
    for of in map(scene, range(50)):
        said = captions(of)
        for language in ("en", "zh"):
            texts = [one.text for one in said if one.language == language]
            assert texts[0] == caption(of, "en" if language == "en" else "zh")
            assert len(texts) >= 6
            assert len(texts) == len(set(texts))


def test_articles_fit_the_words_after_them() -> None:
    """No ``a`` before a vowel and no ``an`` before a consonant, in any caption."""
    for of in map(scene, range(400)):
        for said in captions(of):
            assert not re.search(r"\b(a [aeiou]|an [^aeiou])", said.text.lower()), said.text
