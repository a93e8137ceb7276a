"""Weight files of every layout, written here from the published names and shapes.

``keys_full.json.gz`` lists the tensors of the published files; ``fill.py`` gives each tensor
numbers that follow from its published name, so that a tensor read into the wrong place shows.
"""

import gzip
import importlib.util
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from anybind.encoders import weights
from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    IMUConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
    imagebind_huge,
)
from anybind.encoders.encoder import load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality, Tower
from anybind.encoders.weights import (
    NAMES,
    convert,
    fingerprint,
    from_published,
    load_weights,
    read_centres,
    read_config,
    save_weights,
    to_published,
)
from anybind.errors import UsageError, WeightsError, WriteError

SEED = 7
MASK = "modality_preprocessors.text.mask"
IMAGEBIND_TOWERS = [tower for tower in Tower if tower is not Tower.POINTS]

State = dict[str, torch.Tensor]
Fill = Callable[[str, tuple[int, ...], int], np.ndarray[tuple[int, ...], np.dtype[np.generic]]]

# A handful of pairs as the descriptions of the two formats have them, one or more of every rule
PAIRS = {
    "towers.vision.stem.proj.weight": "modality_preprocessors.vision.rgbt_stem.proj.1.weight",
    "towers.audio.stem.proj.weight": "modality_preprocessors.audio.rgbt_stem.proj.weight",
    "towers.depth.stem.norm.bias": "modality_preprocessors.depth.depth_stem.norm_layer.bias",
    "towers.thermal.stem.cls": "modality_preprocessors.thermal.cls_token",
    "towers.imu.stem.position": "modality_preprocessors.imu.pos_embed",
    "towers.text.stem.tokens.weight": "modality_preprocessors.text.token_embedding.weight",
    "towers.vision.stem.position": ("modality_preprocessors.vision.pos_embedding_helper.pos_embed"),
    "towers.vision.input_norm.weight": "modality_trunks.vision.pre_transformer_layer.0.weight",
    "towers.vision.blocks.31.attn.qkv.bias": "modality_trunks.vision.blocks.31.attn.in_proj_bias",
    "towers.imu.blocks.5.attn.bias_k": "modality_trunks.imu.blocks.5.attn.bias_k",
    "towers.text.blocks.10.attn.out.weight": "modality_trunks.text.blocks.10.attn.out_proj.weight",
    "towers.text.blocks.0.norm_2.bias": "modality_trunks.text.blocks.0.norm_2.bias",
    "towers.audio.blocks.3.mlp.fc2.weight": "modality_trunks.audio.blocks.3.mlp.fc2.weight",
    "towers.imu.head.proj.weight": "modality_heads.imu.3.weight",
    "towers.text.head.proj.weight": "modality_heads.text.proj.1.weight",
    "towers.depth.head.proj.weight": "modality_heads.depth.2.weight",
    "towers.points.head.norm.bias": "modality_heads.point.0.bias",
    "towers.text.log_scale": "modality_postprocessors.text.1.log_logit_scale",
    "towers.points.log_scale": "modality_postprocessors.point.1.log_logit_scale",
    "towers.points.projection": "point_trunk.pc_projection",
    "towers.points.cls_position": "point_trunk.point_encoder.cls_pos",
    "towers.points.groups.second.1.running_var": (
        "point_trunk.point_encoder.encoder.second_conv.1.running_var"
    ),
    "towers.points.position.2.weight": "point_trunk.point_encoder.pos_embed.2.weight",
    "towers.points.blocks.11.attn.out.bias": (
        "point_trunk.point_encoder.blocks.blocks.11.attn.proj.bias"
    ),
    "towers.points.norm.weight": "point_trunk.point_encoder.norm.weight",
}


@pytest.fixture(scope="session")
def published(data: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of the two published files, by their names."""
    text = gzip.decompress((data / "parity" / "keys_full.json.gz").read_bytes())
    return {
        file: {name: tuple(shape) for name, shape in shapes.items()}
        for file, shapes in json.loads(text).items()
    }


@pytest.fixture(scope="session")
def fill(data: Path) -> Fill:
    """Numbers from a tensor's published name, its shape and a seed."""
    spec = importlib.util.spec_from_file_location("fill", data / "parity" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tensor: Fill = module.tensor
    return tensor


def small_config() -> ImageBindConfig:
    """All seven towers, two blocks each, a vocabulary of 600."""

    def trunk(dim: int, *, bias_kv: bool = True) -> TrunkConfig:
        return TrunkConfig(dim=dim, n_blocks=2, n_heads=2, bias_kv=bias_kv)

    return ImageBindConfig(
        dim=10,
        vision=VisionConfig(trunk=replace(trunk(12, bias_kv=False), input_norm=True)),
        text=TextConfig(trunk=replace(trunk(8, bias_kv=False), causal=True), vocab_size=600),
        audio=AudioConfig(trunk=trunk(6)),
        depth=MapConfig(trunk=trunk(4), scale=5.0),
        thermal=MapConfig(trunk=trunk(8), scale=10.0),
        imu=IMUConfig(trunk=trunk(10)),
        points=PointsConfig(
            n_points=64,
            n_centres=8,
            group=4,
            dim=12,
            n_blocks=2,
            n_heads=2,
            group_channels=(8, 6, 14, 10),
            position_hidden=5,
            projection=9,
        ),
    )


def shapes(model: ImageBind) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="session")
def small(fill: Fill) -> State:
    """A published file of :func:`small_config`, points and causal mask included."""
    with torch.device("meta"):
        ours = shapes(ImageBind(small_config()))
    state = {
        name: torch.from_numpy(np.array(fill(name, shape, SEED)))
        for name, shape in ((to_published(name), shape) for name, shape in ours.items())
    }
    return {**state, MASK: torch.from_numpy(np.array(fill(MASK, (77, 77), SEED)))}


@pytest.fixture(scope="session")
def file(small: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "imagebind_w3D.pth"
    torch.save(small, path)
    return path


def save(folder: Path, state: State) -> Path:
    path = folder / "w.pth"
    torch.save(state, path)
    return path


def assert_holds(model: ImageBind, small: State) -> None:
    """Every tensor of the model is the one of its published name, to the bit."""
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, small[to_published(name)]), name


# ------------------------------------------------------------------------------ names


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.items())
def test_names_are_those_of_the_published_files(ours: str, theirs: str) -> None:
    """The pairs were written down one by one from the list of published names."""
    assert to_published(ours) == theirs
    assert from_published(theirs) == ours


def test_every_published_tensor_but_the_mask_has_a_name_here_and_back(
    published: dict[str, dict[str, tuple[int, ...]]],
) -> None:
    """All 1311 and 1476 names; going there and back is the identity."""
    assert [len(names) for names in published.values()] == [1311, 1476]
    for names in published.values():
        ours = {name: from_published(name) for name in names}
        assert [name for name, our_name in ours.items() if our_name is None] == [MASK]
        assert all(to_published(our_name) == name for name, our_name in ours.items() if our_name)


def test_no_two_names_of_the_table_are_the_same() -> None:
    """A pair that hid another would break the way back."""
    assert len(set(NAMES.values())) == len(NAMES)


def test_imagebind_huge_has_the_published_shapes(
    published: dict[str, dict[str, tuple[int, ...]]],
) -> None:
    """Networks of the published sizes on the meta device, with points and without."""
    with torch.device("meta"):
        both = shapes(ImageBind(imagebind_huge()))
        six = shapes(ImageBind(imagebind_huge(), towers=IMAGEBIND_TOWERS))
    for mine, theirs in (
        (six, published["imagebind_huge.pth"]),
        (both, published["imagebind_w3D.pth"]),
    ):
        assert {to_published(name): shape for name, shape in mine.items()} == {
            name: shape for name, shape in theirs.items() if name != MASK
        }


def point_bind_names(state: State) -> State:
    """The same tensors as Point-Bind's own checkpoints name them, and their temperature."""
    out: State = {"logit_scale": torch.tensor(2.66)}
    for name, tensor in state.items():
        if name.startswith("point_trunk."):
            out[name.removeprefix("point_trunk.")] = tensor
        elif name.startswith(("modality_heads.point.", "modality_postprocessors.point.")):
            kind, rest = name.split("s.point.")
            out[f"bind.{kind}_point.{rest}"] = tensor
        else:
            out[f"bind.{name}"] = tensor
    return out


# ------------------------------------------------------------------------------ loading


def test_a_published_file_fills_every_tensor(file: Path, small: State) -> None:
    """Numbers follow from published names, so a swapped pair would differ."""
    model = ImageBind(small_config())
    load_weights(model, file)
    assert_holds(model, small)


def test_a_checkpoint_of_point_bind_fills_every_tensor(tmp_path: Path, small: State) -> None:
    """The same numbers under the names of Point-Bind's own files."""
    model = ImageBind(small_config())
    load_weights(model, save(tmp_path, point_bind_names(small)))
    assert_holds(model, small)


def test_a_file_without_points_fills_the_other_towers(tmp_path: Path, small: State) -> None:
    """What imagebind_huge.pth is to imagebind_w3D.pth."""
    model = ImageBind(small_config(), towers=IMAGEBIND_TOWERS)
    load_weights(model, save(tmp_path, {n: t for n, t in small.items() if "point" not in n}))
    assert_holds(model, small)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_one_tower_reads_its_own_tensors_and_no_others(
    suffix: str, file: Path, small: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every read of a tensor is counted; a file maps, so what is not read stays on the disk."""
    path = tmp_path / f"w{suffix}"
    convert(file, path, config=small_config())
    read: list[str] = []
    plain = weights._WeightFile.read

    def counted(self: weights._WeightFile, name: str) -> torch.Tensor:
        read.append(name)
        return plain(self, name)

    monkeypatch.setattr(weights._WeightFile, "read", counted)
    model = ImageBind(small_config(), towers=[Tower.IMU])
    load_weights(model, path)
    assert_holds(model, small)
    assert len(read) == len(model.state_dict()) and all(".imu." in name for name in read)


def test_other_towers_may_be_damaged_or_absent(tmp_path: Path, small: State) -> None:
    """A text tower alone, beside a vision tower of other sizes."""
    state = {name: tensor for name, tensor in small.items() if ".text." in name}
    state["modality_heads.vision.2.weight"] = torch.zeros(1, 1)
    model = ImageBind(small_config(), towers=[Tower.TEXT])
    load_weights(model, save(tmp_path, state))
    assert_holds(model, small)


def test_numbers_are_cast_to_the_network_precision(file: Path, small: State) -> None:
    """torch's own rounding to bfloat16; the network keeps its scale in float32."""
    model = ImageBind(small_config(), towers=[Tower.DEPTH]).to(torch.bfloat16)
    load_weights(model, file)
    for name, tensor in model.state_dict().items():
        wanted = torch.float32 if name == "towers.depth.log_scale" else torch.bfloat16
        assert tensor.dtype == wanted, name
        assert torch.equal(tensor, small[to_published(name)].to(wanted)), name


def test_a_network_on_the_meta_device_receives_its_tensors(file: Path, small: State) -> None:
    """Copying into tensors without storage would change nothing, silently."""
    with torch.device("meta"):
        model = ImageBind(small_config(), towers=[Tower.AUDIO])
    load_weights(model, file)
    assert_holds(model, small)


def test_a_file_from_before_torch_1_6_is_read_whole_and_says_so(
    tmp_path: Path, small: State, caplog: pytest.LogCaptureFixture
) -> None:
    """torch.save can still write the old format."""
    path = tmp_path / "w.pth"
    torch.save(small, path, _use_new_zipfile_serialization=False)
    model = ImageBind(small_config())
    with caplog.at_level(logging.WARNING):
        load_weights(model, path)
    assert_holds(model, small)
    assert "before torch 1.6" in caplog.text


# ------------------------------------------------------------------------------ refusals


def refusal(path: Path, towers: list[Tower] | None = None) -> str:
    """What loading the file says, in one line."""
    with pytest.raises(WeightsError) as caught:
        load_weights(ImageBind(small_config(), towers=towers), path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_missing_is_listed_by_tower_and_part(tmp_path: Path, small: State) -> None:
    """The audio trunk has 2 blocks of 14 tensors; one tensor of depth's head is gone, too."""
    state = {name: t for name, t in small.items() if "trunks.audio" not in name}
    del state["modality_heads.depth.2.weight"]
    message = refusal(save(tmp_path, state))
    assert "29 missing (audio blocks 28: modality_trunks.audio.blocks.0." in message
    assert ", ...; depth head 1: modality_heads.depth.2.weight)" in message
    assert len(message) < 500


def test_what_is_left_over_is_refused(tmp_path: Path, small: State) -> None:
    """A third block, and names of no tower."""
    state = {
        **small,
        "modality_trunks.imu.blocks.2.norm_1.weight": torch.ones(10),
        "modality_trunks.text.extra": torch.ones(1),
        "optimizer": torch.ones(1),
    }
    assert (
        "3 unexpected (imu blocks 1: modality_trunks.imu.blocks.2.norm_1.weight; "
        "text 1: modality_trunks.text.extra; unknown 1: optimizer)"
    ) in refusal(save(tmp_path, state))


def test_another_shape_is_refused_and_both_are_named(tmp_path: Path, small: State) -> None:
    """A head of 11 numbers in front of a network of 10, and a scale that is a vector."""
    state = {
        **small,
        "modality_heads.vision.2.weight": torch.zeros(11, 12),
        "modality_postprocessors.text.1.log_logit_scale": torch.zeros(1),
    }
    message = refusal(save(tmp_path, state))
    assert "vision head 1: modality_heads.vision.2.weight is 11x12, not 10x12" in message
    assert "log_logit_scale is 1, not a number" in message


def test_a_tower_that_is_not_in_the_file_is_named(tmp_path: Path, small: State) -> None:
    """Points are asked of a file like imagebind_huge.pth."""
    path = save(tmp_path, {n: t for n, t in small.items() if ".imu." in n or ".text." in n})
    message = refusal(path, [Tower.POINTS, Tower.TEXT])
    assert message.endswith("has no weights for points; it has text, imu")


def test_however_much_is_missing_the_message_stays_short(tmp_path: Path, small: State) -> None:
    """Nothing but blocks: groups and counts, not a name for each tensor."""
    state = {name: tensor for name, tensor in small.items() if ".blocks." in name}
    assert len(refusal(save(tmp_path, state))) < 4000


def test_the_other_encoder_of_point_bind_is_refused_by_name(tmp_path: Path, small: State) -> None:
    """I2P-MAE's projection takes its 384 features once, Point-BERT's takes cls and maximum."""
    state = point_bind_names(small)
    state["pc_projection"] = torch.zeros(12, 9)
    path = save(tmp_path, state)
    message = refusal(path)
    assert "I2P-MAE encoder (pc_projection is 12x9)" in message
    assert "use imagebind_w3D.pth" in message
    load_weights(ImageBind(small_config(), towers=[Tower.IMU]), path)


class Hostile:
    """Unpickles by calling a function."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("executed",))


def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, small: State, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its function would print."""
    path = tmp_path / "w.pth"
    torch.save({**small, "x": Hostile()}, path)
    assert "cannot read weights" in refusal(path)
    path.write_bytes(pickle.dumps({"x": Hostile()}, protocol=2))
    assert "cannot read weights" in refusal(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 3, 2000])
def test_a_truncated_file_is_one_clear_line(
    suffix: str, kept: int, file: Path, tmp_path: Path
) -> None:
    """Cut within the magic number, the header, and the tensors."""
    path = tmp_path / f"w{suffix}"
    convert(file, path, config=small_config())
    path.write_bytes(path.read_bytes()[:kept])
    assert "damaged, or not a weight file" in refusal(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """Nothing was written."""
    assert "there is no such file" in refusal(tmp_path / "w.pth")


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path, small: State) -> None:
    """Names of LLaMA; a state dict inside another table."""
    assert "holds no weights of ImageBind (its first tensors: tok_embeddings.weight)" in refusal(
        save(tmp_path, {"tok_embeddings.weight": torch.zeros(2, 2)})
    )
    path = tmp_path / "nested.pth"
    torch.save({"model": small}, path)
    assert "not a plain table of tensors" in refusal(path)


# ------------------------------------------------------------------------------ writing


def test_a_converted_file_holds_the_same_numbers_and_says_where_they_are_from(
    file: Path, small: State, tmp_path: Path
) -> None:
    """Read back by this project and by the safetensors library."""
    path = tmp_path / "w.safetensors"
    convert(file, path, config=small_config())
    model = ImageBind(read_config(path))
    load_weights(model, path)
    assert_holds(model, small)
    assert read_config(path) == small_config()
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
        assert torch.equal(
            opened.get_tensor("towers.imu.head.proj.weight"), small["modality_heads.imu.3.weight"]
        )
    assert metadata["source"] == "imagebind_w3D.pth"
    assert metadata["source_layout"] == "imagebind"
    assert metadata["source_fingerprint"] == fingerprint(file)


def test_converting_there_and_back_gives_the_published_file(
    file: Path, small: State, tmp_path: Path
) -> None:
    """Every name and number of the source, the causal mask written anew."""
    convert(file, tmp_path / "w.safetensors", config=small_config())
    convert(tmp_path / "w.safetensors", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert back.keys() == small.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in small.items())


def test_chosen_towers_alone_are_written_and_the_configuration_says_so(
    file: Path, small: State, tmp_path: Path
) -> None:
    """The file holds two towers; an encoder made from it has two."""
    path = tmp_path / "w.safetensors"
    convert(file, path, towers=[Tower.TEXT, Tower.VISION], config=small_config())
    config = read_config(path)
    full = small_config()
    assert (config.text, config.vision) == (full.text, full.vision)
    assert config.towers == (Tower.VISION, Tower.TEXT)
    model = ImageBind(config)
    load_weights(model, path)
    assert_holds(model, small)


@pytest.mark.parametrize(("dtype", "expected"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_matrices_take_the_precision_asked_for_and_vectors_stay_float32(
    dtype: weights.Precision, expected: torch.dtype, file: Path, small: State, tmp_path: Path
) -> None:
    """torch's own rounding; counters stay integers."""
    path = tmp_path / "w.safetensors"
    convert(file, path, dtype=dtype, config=small_config())
    with safe_open(path, framework="pt") as opened:
        for name in opened.keys():
            source = small[to_published(name)]
            wanted = source.to(expected) if source.ndim > 1 else source
            found = opened.get_tensor(name)
            assert found.dtype == wanted.dtype and torch.equal(found, wanted), name


def test_numbers_too_large_for_fp16_are_refused(small: State, tmp_path: Path) -> None:
    """65520 rounds to infinity in float16."""
    name = "modality_heads.imu.3.weight"
    path = save(tmp_path, {**small, name: torch.full_like(small[name], 65520.0)})
    with pytest.raises(WeightsError, match="towers.imu.head.proj.weight is too large for fp16"):
        convert(path, tmp_path / "w.safetensors", dtype="fp16", config=small_config())
    assert not (tmp_path / "w.safetensors").exists()


def test_a_file_that_does_not_fit_is_not_converted(file: Path, tmp_path: Path) -> None:
    """Without a configuration the published sizes are expected; these are small ones."""
    with pytest.raises(WeightsError, match="of another shape"):
        convert(file, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=r"name a \.safetensors or a \.pth file"):
        convert(file, tmp_path / "w.bin", config=small_config())
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_one_clear_line(file: Path, tmp_path: Path) -> None:
    """Its folder is a file."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="cannot write .*w.safetensors"):
        convert(file, tmp_path / "file" / "w.safetensors", config=small_config())


def test_a_network_saved_is_the_network_loaded(file: Path, small: State, tmp_path: Path) -> None:
    """What training writes; two towers of seven."""
    model = ImageBind(small_config(), towers=[Tower.VISION, Tower.POINTS])
    load_weights(model, file)
    path = tmp_path / "w.safetensors"
    save_weights(model, path, notes={"trained": "never"})
    with safe_open(path, framework="pt") as opened:
        assert opened.metadata()["trained"] == "never"
    assert path.stat().st_mode == file.stat().st_mode  # safetensors writes for the owner alone
    again = ImageBind(read_config(path))
    load_weights(again, path)
    assert sorted(again.towers) == ["points", "vision"]
    assert_holds(again, small)


def test_a_file_without_a_configuration_says_what_to_do(file: Path, tmp_path: Path) -> None:
    """A published file, and safetensors that others wrote."""
    path = tmp_path / "w.safetensors"
    save_file({"towers.imu.log_scale": torch.zeros(())}, path)
    for unmarked in (file, path):
        with pytest.raises(WeightsError, match="anybind weights convert"):
            read_config(unmarked)
    with pytest.raises(WeightsError, match="cannot read weights"):
        read_config(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(())}, path, metadata={"config": '{"dim": 4, "smell": null}'})
    with pytest.raises(WeightsError, match="does not know"):
        read_config(path)


def test_reading_a_configuration_needs_no_torch(file: Path, tmp_path: Path) -> None:
    """A new interpreter looks into its own modules."""
    path = tmp_path / "w.safetensors"
    convert(file, path, towers=[Tower.IMU], config=small_config())
    code = (
        "import sys; from anybind.encoders.weights import fingerprint, read_config; "
        f"read_config({str(path)!r}); fingerprint({str(path)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mean_vectors_travel_in_the_header(tmp_path: Path) -> None:
    """They come back as they were given, through an encoder, and through a conversion that keeps
    their tower; a file without has none."""
    config = ImageBindConfig(
        dim=8,
        vision=VisionConfig(trunk=TrunkConfig(dim=16, n_blocks=1, n_heads=2), size=16, patch=8),
        imu=IMUConfig(trunk=TrunkConfig(dim=16, n_blocks=1, n_heads=2), window=20),
    )
    model = ImageBind(config)
    given = {m: np.arange(8) / (8 + i) for i, m in enumerate(("image", "video", "imu"))}
    path, smaller = tmp_path / "with.safetensors", tmp_path / "smaller.safetensors"
    note = json.dumps({name: centre.tolist() for name, centre in given.items()})
    save_weights(model, path, notes={"centres": note})
    for found in (read_centres(path), load_encoder(path).centres):
        assert set(found) == {Modality.IMAGE, Modality.VIDEO, Modality.IMU}
        for name, centre in given.items():
            np.testing.assert_array_equal(found[Modality(name)], centre.astype(np.float32))
    convert(path, smaller, dtype="fp16", towers=[Tower.VISION])
    assert set(read_centres(smaller)) == {Modality.IMAGE, Modality.VIDEO}
    save_weights(model, path)
    assert read_centres(path) == {} and load_encoder(path).centres == {}


@pytest.mark.parametrize(
    "note", ["{", "3", '{"smell": [0.5]}', '{"image": "x"}', '{"image": [0.5]}', '{"image": [NaN]}']
)
def test_mean_vectors_that_do_not_fit_are_refused(note: str, tmp_path: Path) -> None:
    """Not JSON, no table, an unknown modality, no numbers, too few, not finite."""
    trunk = TrunkConfig(dim=16, n_blocks=1, n_heads=2)
    config = ImageBindConfig(dim=2, vision=VisionConfig(trunk=trunk, size=16, patch=8))
    path = tmp_path / "x.safetensors"
    save_weights(ImageBind(config), path, notes={"centres": note})
    with pytest.raises(WeightsError, match="mean"):
        read_centres(path)
