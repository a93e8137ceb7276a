"""The towers against outputs of the published code, and against formulas written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anybind.encoders.blocks import Attention, Block, make_blocks
from anybind.encoders.config import (
    ImageBindConfig,
    TrunkConfig,
    VisionConfig,
    imagebind_huge,
)
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import TOWER_OF, Modality, Tower
from anybind.encoders.towers import PatchStem, TransformerTower, VisionTower

from .parity import Fixture, fill, small_config

SMALL = Fixture("imagebind_small")
CONFIG = small_config(SMALL.meta["config"])
CASES = list(SMALL.meta["inputs"])
TAPPED = [name for name in CASES if f"{name}/tap" in SMALL.arrays]
TEXTS = torch.from_numpy(SMALL.arrays["input:text/tokens"])

# One case of each tower
PLAIN = ["vision/image", "audio/single", "depth/map", "thermal/map", "imu/signal", "text/tokens"]


@pytest.fixture(scope="module")
def model() -> ImageBind:
    return SMALL.load(ImageBind(CONFIG))


def modality_of(case: str) -> Modality:
    tower = case.partition("/")[0]
    if tower == "vision":
        return Modality.VIDEO if case == "vision/clips" else Modality.IMAGE
    return Modality(tower)


def batch_of(case: str) -> Tensor:
    """The input of a fixture."""
    if case == "text/tokens":
        return TEXTS
    return torch.from_numpy(fill.normal(SMALL.seed, f"input:{case}", SMALL.meta["inputs"][case]))


# ------------------------------------------------------------------------------ published outputs


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_published_code(model: ImageBind, case: str) -> None:
    """The reference is the official ImageBind, float32 on a CPU, with the same weights."""
    x, clips = batch_of(case), case.endswith("clips")
    SMALL.compare(
        {
            f"{case}/out": model(modality_of(case), x, clips=clips, scaled=True),
            f"{case}/head": model.head(modality_of(case), x, clips=clips),
        }
    )


@pytest.mark.parametrize("case", TAPPED)
def test_tokens_after_every_block_are_those_of_the_published_code(
    model: ImageBind, case: str
) -> None:
    """The first row is what the stem gives; tokens 0, 1 and the last of the first item."""
    tower = model.towers[TOWER_OF[modality_of(case)]]
    assert isinstance(tower, TransformerTower)
    taps: list[Tensor] = []

    def tap(_module: nn.Module, _input: object, output: Tensor) -> None:
        taps.append(output)

    hooks = [part.register_forward_hook(tap) for part in (tower.stem, *tower.blocks)]
    model(modality_of(case), batch_of(case))
    for hook in hooks:
        hook.remove()
    SMALL.compare({f"{case}/tap": torch.stack([tokens[0, [0, 1, -1]] for tokens in taps])})


def test_a_learned_scale_is_cut_at_one_hundred() -> None:
    """The fixture repeats the texts with a logarithm of 5, whose exponential is 148."""
    text = SMALL.load(ImageBind(CONFIG), SMALL.meta["clamped"])
    SMALL.compare({"text/clamped/out": text(Modality.TEXT, TEXTS, scaled=True)})


def test_published_sizes_have_as_many_parameters_as_the_published_files() -> None:
    """Counts of the tensors in imagebind_huge.pth and, for points, of those w3D adds to it."""
    with torch.device("meta"):
        huge = ImageBind(imagebind_huge())
    counts = {
        name: sum(parameter.numel() for parameter in tower.parameters())
        for name, tower in huge.towers.items()
    }
    assert counts == {
        "vision": 632_829_440,
        "text": 354_032_641,
        "audio": 86_235_648,
        "depth": 21_871_872,
        "thermal": 86_211_072,
        "imu": 19_600_384,
        "points": 22_777_344,
    }
    assert sum(counts.values()) - counts["points"] == 1_200_781_057


# ------------------------------------------------------------------------------ what follows


@pytest.mark.parametrize("case", PLAIN)
def test_rows_are_unit_vectors_in_the_direction_of_the_head(model: ImageBind, case: str) -> None:
    """x / |x|, computed here in float64."""
    head = model.head(modality_of(case), batch_of(case)).double()
    expected = head / head.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        model(modality_of(case), batch_of(case)), expected.float(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("case", ["vision/clips", "audio/clips", "depth/clips"])
def test_clips_are_encoded_one_by_one_and_averaged(model: ImageBind, case: str) -> None:
    """The mean of the unit rows of each clip, made a unit row again."""
    x, modality = batch_of(case), modality_of(case)
    clips = torch.stack([model(modality, x[:, i]) for i in range(x.shape[1])], dim=1)
    expected = F.normalize(clips.mean(dim=1), dim=1)
    torch.testing.assert_close(model(modality, x, clips=True), expected, rtol=0, atol=1e-6)


def test_an_image_is_a_video_of_that_image_repeated(model: ImageBind) -> None:
    """The published code repeats the frame before its convolution; here the kernel is summed."""
    x = batch_of("vision/image")
    video = x[:, :, None].expand(-1, -1, 2, -1, -1)
    torch.testing.assert_close(
        model(Modality.IMAGE, x), model(Modality.VIDEO, video), rtol=0, atol=1e-6
    )


def test_what_follows_the_end_of_the_longest_text_costs_nothing(model: ImageBind) -> None:
    """Rows whose largest id stands at 3 and at 5 need 6 of 77 columns, and lose nothing."""
    ids = torch.zeros(2, 77, dtype=torch.int64)
    ids[0, :4] = torch.tensor([49406, 320, 1929, 49407])
    ids[1, :6] = torch.tensor([49406, 320, 1929, 269, 7, 49407])
    ids[1, 6:] = 11  # noise behind the end
    widths: list[int] = []
    tower = model.towers["text"]
    assert isinstance(tower, TransformerTower)
    hook = tower.stem.register_forward_hook(lambda _m, _i, output: widths.append(output.shape[1]))
    together = model(Modality.TEXT, ids)
    alone = torch.cat([model(Modality.TEXT, ids[:1, :4]), model(Modality.TEXT, ids[1:])])
    hook.remove()
    assert widths == [6, 4, 6]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_one_tower_is_built_where_one_is_asked_for(model: ImageBind) -> None:
    """The same weights in a network of one tower give the same rows."""
    alone = ImageBind(CONFIG, towers=[Tower.IMU]).eval()
    assert list(alone.towers) == ["imu"]
    alone.towers["imu"].load_state_dict(model.towers["imu"].state_dict())
    x = batch_of("imu/signal")
    torch.testing.assert_close(alone(Modality.IMU, x), model(Modality.IMU, x), rtol=0, atol=0)
    with pytest.raises(ValueError, match="no tower for text; there are imu"):
        alone(Modality.TEXT, TEXTS)


def test_a_tower_that_the_configuration_lacks_is_refused() -> None:
    """A configuration of one tower, asked for another."""
    config = ImageBindConfig(imu=CONFIG.imu)
    with pytest.raises(ValueError, match="no text tower in this configuration; it has imu"):
        ImageBind(config, towers=[Tower.TEXT])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", PLAIN)
def test_half_precision_keeps_the_direction_and_the_exact_scale(
    model: ImageBind, case: str, dtype: torch.dtype
) -> None:
    """Against float32: cosine above 0.999; lengths equal to six digits, since the scale is not
    rounded (in bf16, the audio scale of 20 would become 19.8)."""
    modality = modality_of(case)
    tower = TOWER_OF[modality]
    half = ImageBind(CONFIG, towers=[tower]).eval()
    half.towers[tower].load_state_dict(model.towers[tower].state_dict())
    half = half.to(dtype)
    with torch.inference_mode():
        found = half(modality, batch_of(case), scaled=True)
        expected = model(modality, batch_of(case), scaled=True)
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected).min() > 0.999
    torch.testing.assert_close(found.norm(dim=1), expected.norm(dim=1), rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("modality", "shape", "message"),
    [
        ("image", (1, 224, 224, 3), r"expected \(B, 3, 224, 224\)"),
        ("image", (1, 3, 224, 448), r"expected \(B, 3, 224, 224\)"),
        ("image", (1, 3, 225, 225), "whose side 14 divides"),
        ("image", (1, 3, 2, 224, 224), r"image: expected 4 axes, \(B, 3, H, H\)"),
        ("video", (1, 3, 224, 224), r"video: expected 5 axes, \(B, 3, T, H, H\)"),
        ("video", (1, 3, 3, 224, 224), r"expected \(B, 3, 2, 224, 224\)"),
        ("video", (1, 3, 4, 224, 224), r"expected \(B, 3, 2, 224, 224\)"),
        ("audio", (1, 128, 204), r"expected \(B, 1, 128, 204\)"),
        ("audio", (1, 1, 128, 195), r"expected \(B, 1, 128, 204\)"),
        ("audio", (1, 1, 128, 206), r"expected \(B, 1, 128, 204\)"),
        ("depth", (1, 3, 224, 224), r"expected \(B, 1, 224, 224\)"),
        ("thermal", (1, 1, 0, 0), r"expected \(B, 1, 224, 224\)"),
        ("imu", (1, 2000, 6), r"expected \(B, 6, 2000\)"),
        ("text", (1, 77), r"expected token ids \(B, 77\); this batch is torch.float32"),
    ],
)
def test_a_wrong_shape_is_refused_with_the_right_one(
    model: ImageBind, modality: str, shape: tuple[int, ...], message: str
) -> None:
    """Three frames are the case that the published code reads as three clips, silently."""
    with pytest.raises(ValueError, match=message):
        model(modality, torch.zeros(shape))


def test_texts_that_are_too_long_or_of_another_vocabulary_are_refused(model: ImageBind) -> None:
    """78 columns for a table of 77, and an id one past the last."""
    with pytest.raises(ValueError, match=r"shape \(1, 78\)"):
        model(Modality.TEXT, torch.zeros(1, 78, dtype=torch.int64))
    with pytest.raises(ValueError, match="token id 49408 of a vocabulary of 49408"):
        model(Modality.TEXT, torch.full((1, 3), 49_408))


# ------------------------------------------------------------------------------ position tables


@pytest.mark.parametrize("modality", [Modality.DEPTH, Modality.THERMAL])
def test_depth_and_heat_may_be_larger_too(modality: Modality) -> None:
    """The published code cannot do it. A black picture leaves nothing but positions; their table
    counts columns, and in between stands the cubic kernel (a = -0.75) that vision's has."""
    model = ImageBind(CONFIG, towers=[TOWER_OF[modality]]).eval().requires_grad_(False)
    stem = model.towers[modality].stem
    assert isinstance(stem, PatchStem)
    stem.position[0, 1:] = torch.arange(14.0).repeat(14)[:, None]
    rows = stem(torch.zeros(1, 1, 448, 448))[0, 1:, 0].view(28, 28)

    def kernel(d: float, a: float = -0.75) -> float:
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4)

    inner = range(4, 24)
    places = [(i + 0.5) / 2 - 0.5 for i in inner]  # centres of new columns among the old
    expected = [sum(j * kernel(abs(x - j)) for j in range(14) if abs(x - j) < 2) for x in places]
    for row in rows:
        assert row[list(inner)].tolist() == pytest.approx(expected, abs=1e-5)
    assert model(modality, torch.randn(1, 1, 448, 448)).norm() == pytest.approx(1, abs=1e-6)


# ------------------------------------------------------------------------------ blocks


@pytest.mark.parametrize("bias_kv", [False, True])
def test_attention_is_torch_multihead_attention(bias_kv: bool) -> None:
    """The published code is built on ``nn.MultiheadAttention``; same weights, same numbers."""
    torch.manual_seed(0)
    ours = Attention(24, 3, bias_kv=bias_kv)
    theirs = nn.MultiheadAttention(24, 3, batch_first=True, add_bias_kv=bias_kv)
    nn.init.normal_(ours.qkv.bias)
    nn.init.normal_(ours.out.bias)
    state = {
        "in_proj_weight": ours.qkv.weight,
        "in_proj_bias": ours.qkv.bias,
        "out_proj.weight": ours.out.weight,
        "out_proj.bias": ours.out.bias,
    }
    if ours.bias_k is not None and ours.bias_v is not None:
        state |= {"bias_k": ours.bias_k, "bias_v": ours.bias_v}
    theirs.load_state_dict(state)
    x = torch.randn(2, 7, 24)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], rtol=0, atol=1e-6)


def test_causal_attention_sees_nothing_that_follows() -> None:
    """Changing the last of five tokens changes the last output alone."""
    torch.manual_seed(0)
    attention = Attention(24, 3, causal=True)
    x = torch.randn(1, 5, 24)
    y = x.clone()
    y[:, 4] += 1
    same = (attention(x) - attention(y)).abs().amax(dim=(0, 2)) == 0
    assert same.tolist() == [True, True, True, True, False]


def test_drop_path_rises_from_zero_and_leaves_the_mean() -> None:
    """linspace(0, rate, n); in training, a share of items pass unchanged and the rest are scaled
    so that the mean over many items is what evaluation gives."""
    trunk = TrunkConfig(dim=8, n_blocks=3, n_heads=2, drop_path=0.5)
    blocks = [block for block in make_blocks(trunk, eps=1e-6) if isinstance(block, Block)]
    assert [block.drop_path for block in blocks] == [0, 0.25, 0.5]
    torch.manual_seed(0)
    change = torch.ones(20_000, 1, 1)
    dropped = blocks[2]._dropped(change)
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)  # 4 sigma
    assert blocks[2].eval()._dropped(change) is change


# ------------------------------------------------------------------------------ training


def test_a_share_of_patches_is_kept_in_training_and_all_otherwise() -> None:
    """Token counts in front of the first block: 1 + 64 patches, or 1 + 32."""
    config = VisionConfig(trunk=TrunkConfig(dim=16, n_blocks=1, n_heads=2), size=96, patch=12)
    torch.manual_seed(0)
    tower = VisionTower(config, 8)
    counts: list[int] = []
    tower.blocks[0].register_forward_pre_hook(lambda _m, args: counts.append(args[0].shape[1]))
    x = torch.randn(2, 3, 96, 96)
    first, second = tower(x, keep=0.5), tower(x, keep=0.5)
    tower(x)
    tower.eval()
    full = tower(x, keep=0.5)
    assert counts == [33, 33, 65, 65]
    assert not torch.equal(first, second)
    torch.testing.assert_close(full, tower(x), rtol=0, atol=0)


def test_every_parameter_learns() -> None:
    """After one backward pass no parameter is without a gradient, or has one that is all zero."""
    torch.manual_seed(0)
    model = ImageBind(CONFIG).train()
    total = torch.zeros(())
    for case in PLAIN:
        rows = model(modality_of(case), batch_of(case), scaled=True)
        total = total + (rows * torch.randn_like(rows)).sum()
    total.backward()  # type: ignore[no-untyped-call]
    still = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert not still


def test_a_new_network_is_drawn_as_imagebind_draws_it() -> None:
    """Standard deviations: class tokens and pictures' positions dim^-0.5, text 0.02 and 0.01,
    Xavier-uniform sqrt(2 / (in + out)), learned keys dim^-0.5; biases 0; scales as published."""
    torch.manual_seed(0)
    state = ImageBind(CONFIG).state_dict()
    expected = {
        "towers.vision.stem.position": 48**-0.5,
        "towers.audio.stem.position": 36**-0.5,
        "towers.text.stem.tokens.weight": 0.02,
        "towers.text.stem.position": 0.01,
        "towers.imu.stem.position": 0.01,
        "towers.vision.blocks.0.attn.qkv.weight": math.sqrt(2 / (48 + 3 * 48)),
        "towers.vision.blocks.0.mlp.fc1.weight": math.sqrt(2 / (48 + 4 * 48)),
    }
    for name, std in expected.items():
        assert state[name].std().item() == pytest.approx(std, rel=0.05), name
    assert state["towers.audio.blocks.1.attn.bias_k"].std().item() == pytest.approx(1 / 6, rel=0.4)
    assert state["towers.vision.stem.cls"].std().item() == pytest.approx(48**-0.5, rel=0.4)
    for name, value in state.items():
        if name.endswith("bias") and ".head." not in name:
            assert not value.any(), name
    scales = {"text": 1 / 0.07, "audio": 20, "depth": 5, "thermal": 10, "imu": 5}
    for tower, scale in scales.items():
        assert state[f"towers.{tower}.log_scale"].item() == pytest.approx(math.log(scale))
    assert "towers.vision.log_scale" not in state
