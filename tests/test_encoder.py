"""Encoder against the network it drives, and the errors of everything around it."""

import copy
import dataclasses
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    TrunkConfig,
    VisionConfig,
    imagebind_huge,
)
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.images import normalise_images
from anybind.encoders.media import Waveform
from anybind.encoders.modality import Modality
from anybind.encoders.weights import save_weights
from anybind.errors import MediaError, UsageError, WeightsError

TRUNK = TrunkConfig(dim=24, n_blocks=2, n_heads=3)
CONFIG = ImageBindConfig(
    dim=16,
    vision=VisionConfig(trunk=dataclasses.replace(TRUNK, input_norm=True), size=32, patch=8),
    text=TextConfig(trunk=dataclasses.replace(TRUNK, causal=True)),
    audio=AudioConfig(trunk=dataclasses.replace(TRUNK, bias_kv=True)),
)


@pytest.fixture(scope="module")
def model() -> ImageBind:
    """A small network with random weights."""
    torch.manual_seed(0)
    return ImageBind(CONFIG).eval()


@pytest.fixture(scope="module")
def weights(model: ImageBind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weight file."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(model, path)
    return path


@pytest.fixture
def encoder(weights: Path) -> Encoder:
    """An encoder that reads that file."""
    return load_encoder(weights)


def pictures(n: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(n)]


def test_images_equal_the_network_on_normalised_pixels(model: ImageBind, encoder: Encoder) -> None:
    """The reference is the module itself; pictures of the right size pass through untouched."""
    images = pictures(5)
    with torch.no_grad():
        expected = model("image", torch.from_numpy(normalise_images(np.stack(images)))).numpy()
    np.testing.assert_allclose(encoder.encode("image", images), expected, atol=1e-6)


def test_a_batch_equals_its_items_one_by_one(encoder: Encoder) -> None:
    """In fp32 the two differ by rounding alone."""
    texts = ["a dog", "a red train on snow, far away", "x"]
    alone = np.concatenate([encoder.encode("text", [text]) for text in texts])
    np.testing.assert_allclose(encoder.encode("text", texts, batch_size=2), alone, atol=1e-6)


def test_sounds_of_unequal_length_average_over_their_own_clips(
    model: ImageBind, encoder: Encoder
) -> None:
    """The reference encodes each sound's clips alone with the module's own mean over clips."""
    rng = np.random.default_rng(2)
    sounds = [
        Waveform(samples=rng.normal(0, 0.1, (1, 16000 * s)).astype(np.float32), rate=16000)
        for s in (1, 7)
    ]
    prepare = encoder.preprocessor("audio")
    clips = [torch.from_numpy(prepare(sound)) for sound in sounds]
    assert [len(c) for c in clips] == [1, 4]
    for scaled in (False, True):
        with torch.no_grad():
            rows = [model("audio", c[None], clips=True, scaled=scaled)[0].numpy() for c in clips]
        np.testing.assert_allclose(
            encoder.encode("audio", sounds, batch_size=2, scaled=scaled),
            np.stack(rows),
            atol=1e-5 if scaled else 1e-6,
        )


def test_rows_are_unit_float32_unless_scaled(encoder: Encoder) -> None:
    """Text is scaled by its learned scale, 1 / 0.07 before training."""
    unit = encoder.encode("text", ["a dog"])
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit), 1, atol=1e-6)
    scaled = encoder.encode("text", ["a dog"], scaled=True)
    np.testing.assert_allclose(scaled, unit / 0.07, rtol=1e-5)


def test_bf16_stays_close_to_fp32(weights: Path, encoder: Encoder) -> None:
    """bf16 has 8 bits of mantissa: a unit vector moves by a few parts in a hundred at most."""
    images = pictures(3)
    halves = load_encoder(weights, precision="bf16").encode("image", images)
    assert halves.dtype == np.float32
    cosines = (halves * encoder.encode("image", images)).sum(1)
    assert cosines.min() > 0.999


def test_threads_agree_with_serial_calls(encoder: Encoder) -> None:
    """32 threads load the tower and encode at once; the reference is one thread after them."""
    texts = [f"text number {i}" for i in range(32)]
    rows: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}

    def work(i: int) -> None:
        rows[i] = encoder.encode("text", [texts[i]])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(rows[i], encoder.encode("text", [text])[0])


def test_preprocessors_pickle(encoder: Encoder) -> None:
    """Decode workers receive them by pickle; a copy prepares alike."""
    (image,) = pictures(1)
    prepare = encoder.preprocessor(Modality.IMAGE)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(prepare))(image), prepare(image))


def test_the_fingerprint_names_weights_and_preparation(
    weights: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """A copy has the same; other weights or the published preparation have another."""
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    assert load_encoder(copy).fingerprint == encoder.fingerprint
    assert load_encoder(weights, reference=True).fingerprint != encoder.fingerprint
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    save_weights(ImageBind(CONFIG), other)
    assert load_encoder(other).fingerprint != encoder.fingerprint


def test_the_image_fingerprint_names_the_image_tower_alone(
    weights: Path, model: ImageBind, encoder: Encoder, tmp_path: Path
) -> None:
    """Other towers and a copy in fp16 leave it as it is; one other number of this one does not."""

    def after(change: Callable[[ImageBind], object], **how: Any) -> Encoder:
        other = copy.deepcopy(model)
        with torch.no_grad():
            change(other)
        save_weights(other, tmp_path / "other.safetensors", **how)
        return load_encoder(tmp_path / "other.safetensors")

    def first(tower: str, other: ImageBind) -> torch.Tensor:
        return next(p for name, p in other.named_parameters() if f".{tower}." in name).view(-1)

    assert load_encoder(weights, reference=True).image_fingerprint == encoder.image_fingerprint
    audio = after(lambda other: first("audio", other)[0].add_(1))
    assert audio.fingerprint != encoder.fingerprint
    assert audio.image_fingerprint == encoder.image_fingerprint
    half = after(lambda other: None, dtype="fp16")
    assert half.image_fingerprint == encoder.image_fingerprint
    vision = after(lambda other: first("vision", other)[-1].add_(1))
    assert vision.image_fingerprint != encoder.image_fingerprint
    alone = dataclasses.replace(CONFIG, vision=None)
    save_weights(ImageBind(alone), tmp_path / "blind.safetensors")
    assert load_encoder(tmp_path / "blind.safetensors").image_fingerprint is None


def test_batches_keep_activations_near_a_bound() -> None:
    """From the published sizes: 257 tokens x 5120 floats is 5.3 MB an image, so 16 fill 128 MiB."""
    encoder = Encoder(name="huge", config=imagebind_huge(), weights=lambda tower: Path("none"))
    assert encoder.batch_size("image") == 16
    assert encoder.batch_size("text") == 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.encode("imu", [None]), "cannot encode imu: it has image, text, audio, video"),
        (lambda e: e.encode("smell", [None]), "modality 'smell' is unknown"),
        (lambda e: load_encoder("no-such"), "neither a preset (imagebind-mini, imagebind-huge)"),
        (lambda e: load_encoder(precision="int3"), "precision 'int3'"),
        (lambda e: load_encoder(device="abacus").device, "device 'abacus'"),
    ],
)
def test_wrong_requests_say_what_there_is(encoder: Encoder, call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(UsageError) as caught:
        call(encoder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_item_is_named(encoder: Encoder, tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    with pytest.raises(MediaError, match="missing.jpg"):
        encoder.encode("image", [missing])


def test_a_file_without_the_tower_is_refused(weights: Path, model: ImageBind) -> None:
    """The file's header promises no depth tower, so asking for one is a wrong request."""
    config = dataclasses.replace(CONFIG, depth=imagebind_huge().depth)
    broken = Encoder(name="broken", config=config, weights=lambda tower: weights)
    with pytest.raises(WeightsError, match="depth"):
        broken.encode("depth", [np.ones((8, 8), np.float32)])


def test_nothing_to_encode_gives_no_rows(encoder: Encoder) -> None:
    assert encoder.encode("text", []).shape == (0, 16)


def test_clouds_of_different_sizes_are_one_batch(tmp_path: Path) -> None:
    """A small cloud keeps its points; the oracle is each cloud through the network alone."""
    config = ImageBindConfig(
        dim=16,
        points=PointsConfig(
            n_points=64,
            n_centres=8,
            group=4,
            dim=24,
            n_blocks=1,
            n_heads=2,
            group_channels=(8, 8, 16, 8),
            position_hidden=8,
            projection=16,
        ),
    )
    torch.manual_seed(0)
    network = ImageBind(config).eval()
    save_weights(network, tmp_path / "points.safetensors")
    encoder = load_encoder(tmp_path / "points.safetensors")
    rng = np.random.default_rng(0)
    clouds = [rng.standard_normal((n, 3)) for n in (64, 20, 64, 100, 3, 20)]
    found = encoder.encode("points", clouds, batch_size=4)
    prepare = encoder.preprocessor("points")
    assert [len(prepare(cloud)) for cloud in clouds] == [64, 20, 64, 64, 4, 20]
    with torch.inference_mode():
        alone = [network("points", torch.from_numpy(prepare(cloud))[None]) for cloud in clouds]
    np.testing.assert_allclose(found, torch.cat(alone).numpy(), atol=1e-6)


def test_the_depth_scale_reaches_the_preparation_and_not_the_fingerprint(tmp_path: Path) -> None:
    """Files of another unit are prepared alike, so one index holds both."""
    trunk = dataclasses.replace(TRUNK, bias_kv=True)
    config = ImageBindConfig(dim=16, depth=MapConfig(trunk=trunk, size=32, patch=8, scale=5.0))
    save_weights(ImageBind(config), tmp_path / "depth.safetensors")
    usual = load_encoder(tmp_path / "depth.safetensors")
    other = load_encoder(tmp_path / "depth.safetensors", depth_scale=1 / 5000)
    millimetres = np.linspace(600, 6000, 32 * 32).reshape(32, 32).astype(np.uint16)
    np.testing.assert_allclose(
        other.encode("depth", [5 * millimetres]), usual.encode("depth", [millimetres]), atol=1e-5
    )
    assert usual.fingerprint == other.fingerprint
    with pytest.raises(UsageError, match="depth_scale is 0"):
        load_encoder(tmp_path / "depth.safetensors", depth_scale=0)
