"""Heat images: what is warm, that colour does not matter, and that they repeat themselves."""

import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

from anybind.errors import UsageError
from anybind.world.assembly import Assembly, Stream
from anybind.world.categories import CATEGORY_NAMES, CATEGORY_OF
from anybind.world.colours import PAINTS
from anybind.world.heat import CLIMATES, HEATS, part_warmth, thermal, warmth
from anybind.world.render import render
from anybind.world.scene import Place, Scene, scene

RECORDED = {  # mean and deviation of the grey levels
    0: (82.45, 44.84),
    1: (151.49, 37.88),
    20_000_000: (163.66, 62.66),
}


def scenes_of(category: str, n: int) -> list[Scene]:
    """The first scenes of one object of a category."""
    found = []
    for i in range(4000):
        of = scene(i)
        if of.relation is None and of.objects[0].category == category:
            found.append(of)
            if len(found) == n:
                break
    return found


def degrees(category: str) -> float:
    """The warmest part of an object over the air, °C, the median of a few scenes."""
    seen = []
    for of in scenes_of(category, 5):
        shown = warmth(of, 48)[render(of, 48).mask == 1]
        seen.append(np.percentile(shown, 90))
    return float(np.median(seen))


def test_hot_things_are_warmer_than_warm_ones_and_those_than_cold_ones() -> None:
    """An order that everybody knows; medians over scenes in several places."""
    fire, kettle, dog, chair, cloud = (
        degrees(name) for name in ("campfire", "kettle", "dog", "chair", "rain cloud")
    )
    assert fire > 200 > kettle > 20 > dog > chair + 2
    assert chair > cloud


def test_every_category_and_place_has_its_warmth() -> None:
    """Paints named there are paints that the category's builder uses, or those of the world."""
    assert set(HEATS) == set(CATEGORY_NAMES)
    assert set(CLIMATES) == set(Place)
    known = {*PAINTS, "", "main", "main dark", "main light", "contrast"}
    for name, heat in HEATS.items():
        assert set(heat.paints) <= known, name
        for spot in heat.spots:
            assert min(spot.at) >= 0 and max(spot.at) <= 1, name


def test_paints_of_warm_parts_occur_in_some_object_of_the_category() -> None:
    """Over twenty objects each, as some parts are optional; animals share one table."""
    for name, heat in HEATS.items():
        if CATEGORY_OF[name].group == "animals":
            continue
        used = {""}
        for i in range(20):
            assembly = Assembly(Stream(i, "shape 0"))
            CATEGORY_OF[name].build(assembly)
            used |= {solid.paint for solid in assembly.solids}
        assert set(heat.paints) <= used, name


def test_a_warm_part_stands_out_more_in_the_cold() -> None:
    """The formula: its excess at 20 °C, times 1 + (20 - air) / 40, at least 0.4 of it."""
    assert part_warmth("kettle", "main", 20) == pytest.approx(52)
    assert part_warmth("kettle", "main", 0) == pytest.approx(52 * 1.5)
    assert part_warmth("kettle", "main", 90) == pytest.approx(52 * 0.4)
    assert part_warmth("kettle", "dark", 20) == pytest.approx(16)
    assert part_warmth("chair", "main", -20) == 0


def test_colour_does_not_matter() -> None:
    """The same scene with another colour of its object: the same bytes."""
    of = scene(7)
    other = "red" if of.objects[0].colour != "red" else "blue"
    painted = replace(of, objects=(replace(of.objects[0], colour=other), *of.objects[1:]))
    assert np.any(render(painted, 48).image != render(of, 48).image)
    np.testing.assert_array_equal(thermal(painted, 48), thermal(of, 48))


def test_the_sky_is_colder_than_the_ground() -> None:
    """First and last row of the background, in every place under an open sky."""
    checked = set()
    for i in range(80):
        of = scene(i)
        if of.place in (Place.ROOM, Place.FOREST):
            continue
        shown, seen = warmth(of, 48), render(of, 48)
        sky = shown[:4][(seen.mask[:4] == 0) & (seen.depth[:4] >= 60)]
        ground = shown[-4:][seen.mask[-4:] == 0]
        if sky.size and ground.size:
            assert np.median(sky) < np.median(ground) - 5
            checked.add(of.place)
    assert len(checked) == 6


def test_heat_shows_the_objects_where_the_picture_does() -> None:
    """The outline of a hot object is the renderer's mask: 90 % of it is warm, 1 % of the rest."""
    for of in scenes_of("kettle", 3):
        mask = render(of, 64).mask == 1
        hot = warmth(of, 64) > 8
        assert np.mean(hot[mask]) > 0.9
        assert np.mean(hot[~mask]) < 0.05


def test_the_engine_is_the_warm_end_of_a_car() -> None:
    """Seen from the side, the half that the car faces is warmer by degrees."""
    checked = 0
    for of in scenes_of("car", 12):
        facing = np.cos(of.objects[0].yaw)  # 1 to the camera's right, -1 to its left
        if abs(facing) < 0.6:
            continue
        mask = render(of, 64).mask == 1
        shown = warmth(of, 64)
        columns = np.flatnonzero(mask.any(axis=0))
        middle = (columns[0] + columns[-1]) // 2
        right = shown[:, middle:][mask[:, middle:]].mean()
        left = shown[:, :middle][mask[:, :middle]].mean()
        assert (right - left) * facing > 1
        checked += 1
    assert checked >= 3


def test_heat_images_repeat_themselves_in_another_process() -> None:
    """Compared with a new interpreter that makes them in another order."""
    code = (
        "import zlib; from anybind.world.heat import thermal; from anybind.world.scene import "
        "scene\nfor i in (5, 4, 3): print(zlib.crc32(thermal(scene(i), 48).tobytes()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [zlib.crc32(thermal(scene(i), 48).tobytes()) for i in (3, 4, 5)]
    assert [int(line) for line in run.stdout.split()] == here[::-1]


def test_heat_images_stay_what_they_were_when_the_shipped_weights_were_trained() -> None:
    """Recorded mean and deviation; digits that differ between machines are far smaller."""
    for i, expected in RECORDED.items():
        shown = thermal(scene(i), 64)
        assert (shown.mean(), shown.std()) == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("size", [15, 5000])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    """As for pictures."""
    with pytest.raises(UsageError, match="16 to 4096"):
        thermal(scene(0), size)
