"""The point encoder against outputs of the published code, and its geometry by plain loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anybind.encoders import points as module
from anybind.encoders.config import ImageBindConfig, PointsConfig, imagebind_huge
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality, Tower
from anybind.encoders.points import (
    PointEncoder,
    cut_groups,
    farthest_point_sampling,
    squared_distances,
)

from .parity import Fixture, fill

POINT = Fixture("point")
FORMULAS = ["random", "few"]  # clouds computed from a seed
FILES = ["airplane", "airplane_shuffled", "car", "car_shuffled"]  # Point-Bind's examples

SMALL = PointsConfig(
    n_points=64,
    n_centres=8,
    group=4,
    dim=12,
    n_blocks=2,
    n_heads=2,
    group_channels=(8, 8, 16, 8),
    position_hidden=8,
    projection=16,
)


@pytest.fixture(scope="module")
def model() -> ImageBind:
    """The published size; the only one there is a reference for."""
    return POINT.load(ImageBind(imagebind_huge(), towers=[Tower.POINTS]))


@pytest.fixture
def small() -> PointEncoder:
    torch.manual_seed(0)
    return PointEncoder(SMALL, 6).eval()


def clouds(n: int, n_points: int = 64) -> Tensor:
    return torch.from_numpy(fill.cloud(1, "cloud", (n, n_points, 3)))


def check(model: ImageBind, case: str, cloud: Tensor) -> None:
    """Compare everything that the fixture has of one cloud."""
    tower = model.towers["points"]
    assert isinstance(tower, PointEncoder)
    seen: dict[str, Tensor] = {}
    features: list[Tensor] = []
    taps: list[Tensor] = []

    def keep(_module: nn.Module, _input: object, output: Tensor) -> None:
        features.append(output)

    def start(_module: nn.Module, _input: object, output: Tensor) -> None:
        seen[f"{case}/groups"] = features[0][0, :4]
        taps.append(torch.stack((tower.cls[0, 0], output[0, 0], output[0, -1])))

    hooks = [
        tower.groups.register_forward_hook(keep),
        tower.reduce.register_forward_hook(start),
        *(
            block.register_forward_hook(lambda _m, _i, out: taps.append(out[0, [0, 1, -1]]))
            for block in tower.blocks
        ),
        tower.head.register_forward_pre_hook(
            lambda _m, args: seen.update({f"{case}/trunk": args[0]})
        ),
    ]
    with torch.inference_mode():
        head = model.head(Modality.POINTS, cloud)
        for hook in hooks:
            hook.remove()
        out = model(Modality.POINTS, cloud, scaled=True)
    POINT.compare({f"{case}/head": head, f"{case}/out": out, f"{case}/tap": torch.stack(taps)})
    POINT.compare(seen)
    centres = farthest_point_sampling(cloud, tower.config.n_centres)
    np.testing.assert_array_equal(centres, POINT.arrays[f"{case}/centres"])


@pytest.mark.parametrize("case", FORMULAS)
def test_clouds_give_what_the_published_code_gives(model: ImageBind, case: str) -> None:
    """The reference is the official encoder at its real size, its sampling started at 0."""
    shape = POINT.meta["inputs"][case]
    check(model, case, torch.from_numpy(fill.cloud(POINT.seed, f"cloud:{case}", shape)))


@pytest.mark.parametrize("case", FILES)
def test_published_clouds_give_what_the_published_code_gives(
    model: ImageBind, case: str, shared: Path
) -> None:
    """Point-Bind's examples, in file order (which is sampling order) and shuffled."""
    cloud = np.load(shared / "samples" / POINT.meta["inputs"][case], allow_pickle=False)
    if case.endswith("_shuffled"):
        name = case.removesuffix("_shuffled")
        cloud = cloud[fill.order(POINT.seed, f"shuffle:{name}", len(cloud))]
    check(model, case, torch.from_numpy(cloud)[None])


# ------------------------------------------------------------------------------ geometry


def test_sampling_takes_the_point_farthest_from_all_taken() -> None:
    """Three clouds at once against a plain loop over one cloud, in float64."""
    batch = clouds(3)
    expected = []
    for cloud in batch.double().numpy():
        taken = [5]
        while len(taken) < 20:
            gaps = ((cloud[:, None] - cloud[taken][None]) ** 2).sum(axis=2).min(axis=1)
            taken.append(int(gaps.argmax()))
        expected.append(taken)
    assert farthest_point_sampling(batch, 20, start=5).tolist() == expected


def test_sampling_more_points_than_there_are_repeats_the_first() -> None:
    """Once all distances are zero, the largest is the first."""
    order = farthest_point_sampling(clouds(1, 5), 9)[0].tolist()
    assert sorted(order[:5]) == [0, 1, 2, 3, 4]
    assert order[5:] == [0, 0, 0, 0]


def test_sampling_starts_at_a_point_of_the_cloud() -> None:
    """Ten points have no point 10."""
    with pytest.raises(ValueError, match="cannot start at point 10 of 10"):
        farthest_point_sampling(clouds(1, 10), 3, start=10)


def test_groups_are_the_nearest_points_around_each_centre() -> None:
    """Against a full sort of distances in float64; the order within a group does not matter."""
    batch = clouds(2)
    centres, groups = cut_groups(batch, 6, 5)
    for cloud, some, near in zip(batch.double(), centres.double(), groups.double(), strict=True):
        gaps = (some[:, None] - cloud[None]).norm(dim=2)  # (6, 64)
        expected = cloud[gaps.argsort(dim=1)[:, :5]] - some[:, None]
        found = near.norm(dim=2).sort(dim=1).values
        torch.testing.assert_close(found, expected.norm(dim=2), rtol=0, atol=1e-6)
        torch.testing.assert_close(near.sum(dim=1), expected.sum(dim=1), rtol=0, atol=1e-5)


def test_distances_stay_exact_under_autocast() -> None:
    """Products would be shortened to bf16 there, which moves points to other groups."""
    a, b = clouds(1, 8), clouds(2, 9)[1:]
    expected = torch.cdist(a.double(), b.double()).square().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = squared_distances(a, b)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_batch_in_pieces_is_the_batch_at_once(
    small: PointEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of one cloud's distances and of one group, against no pieces."""
    batch = clouds(3)
    whole = small(batch)
    monkeypatch.setattr(module, "DISTANCE_BYTES", 1)
    monkeypatch.setattr(module, "CHUNK_POINTS", 1)
    torch.testing.assert_close(small(batch), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(small(batch[1:2]), whole[1:2], rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------ the network


def test_the_order_of_points_does_not_matter_but_for_the_first(small: PointEncoder) -> None:
    """Sampling starts at the first point; the others may come in any order."""
    batch = clouds(1)
    order = torch.from_numpy(fill.order(1, "order", 63)) + 1
    shuffled = torch.cat((batch[:, :1], batch[:, order]), dim=1)
    torch.testing.assert_close(small(shuffled), small(batch), rtol=0, atol=1e-6)


def test_half_precision_does_not_move_points(small: PointEncoder) -> None:
    """A cloud of points 1e-3 apart, which bf16 cannot tell from each other near 1."""
    fine = clouds(2) * 0.03 + torch.tensor([0.9, 0.0, 0.0])
    with torch.inference_mode():
        expected = small(fine)
        found = small.to(torch.bfloat16)(fine).float()
    assert F.cosine_similarity(found, expected).min() > 0.999


def test_training_draws_its_statistics_from_the_whole_batch(small: PointEncoder) -> None:
    """BatchNorm's running mean moves by its momentum toward the mean over all points."""
    conv, norm = small.groups.first[0], small.groups.first[1]
    assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None
    batch = clouds(3)
    groups = cut_groups(batch, SMALL.n_centres, SMALL.group)[1]
    expected = 0.1 * conv(groups.reshape(-1, 3)).mean(dim=0)
    rows = small.train()(batch)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-6)
    rows.square().sum().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_training_on_a_share_of_the_groups_is_training_with_fewer(small: PointEncoder) -> None:
    """The reference is the same weights in an encoder of half as many centres; answers see all."""
    half = PointEncoder(replace(SMALL, n_centres=4), 6)
    half.load_state_dict(small.state_dict())
    x = clouds(3)
    with torch.no_grad():
        torch.manual_seed(1)
        expected = half.train()(x)
        torch.manual_seed(1)
        found = small.train()(x, keep=0.5)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(small.eval()(x, keep=0.5), small(x))


@pytest.mark.parametrize("shape", [(2, 3, 64), (64, 3), (1, 3, 3)])
def test_a_wrong_shape_is_refused_with_the_right_one(shape: tuple[int, ...]) -> None:
    """Channels first, no batch, and fewer points than a group has."""
    model = ImageBind(ImageBindConfig(points=SMALL))
    with pytest.raises(ValueError, match=r"points: expected clouds \(B, N, 3\) of at least 4"):
        model(Modality.POINTS, torch.zeros(shape))
