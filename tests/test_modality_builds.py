"""Indices of sounds, clouds and texts: the builder with a real, small encoder of several towers."""

import io
import json
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from anybind.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    MapConfig,
    PointsConfig,
    TextConfig,
    TrunkConfig,
)
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality
from anybind.encoders.weights import save_weights
from anybind.errors import IndexFolderError, UsageError
from anybind.index import pipeline, shards
from anybind.index.manifest import Manifest
from anybind.index.pipeline import BuildOptions, BuildReport, build_index
from anybind.index.search import Index
from anybind.index.verify import describe, verify
from anybind.pipeline import AnyBind

DIM = 16
TRUNK = TrunkConfig(dim=24, n_blocks=1, n_heads=3)
CONFIG = ImageBindConfig(
    dim=DIM,
    text=TextConfig(trunk=TrunkConfig(dim=24, n_blocks=1, n_heads=3, causal=True)),
    audio=AudioConfig(trunk=TRUNK, n_mels=32, stride=16),
    depth=MapConfig(trunk=TRUNK, size=32, patch=16, scale=5.0),
    points=PointsConfig(
        n_points=128,
        n_centres=8,
        group=8,
        dim=24,
        n_blocks=1,
        n_heads=3,
        group_channels=(8, 8, 8, 8),
        projection=16,
    ),
)
DEPTH_CENTRE = [0.25] * DIM  # what the weight file says of depth maps
SECONDS = (0.3, 5.0, 2.0, 0.5, 7.5, 1.0)
RATE = 8000


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Random weights, with means in the header as trained ones have."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    centres = json.dumps({"depth": DEPTH_CENTRE, "text": [1.0] * DIM})
    save_weights(ImageBind(CONFIG).eval(), path, notes={"centres": centres})
    return load_encoder(path)


def wav(number: int, seconds: float) -> bytes:
    """A tone in noise that no other number has."""
    rng = np.random.default_rng(number)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (200 + 300 * number) * time) + 0.1 * rng.standard_normal(len(time))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((8000 * tone).astype("<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sounds of unequal length with captions, a broken one, and what is no sound."""
    folder = tmp_path_factory.mktemp("sounds")
    for number, seconds in enumerate(SECONDS):
        (folder / f"{number}.wav").write_bytes(wav(number, seconds))
        (folder / f"{number}.txt").write_text(f"tone number {number}")
    (folder / "3b.wav").write_bytes(wav(9, 1.0)[:4000])
    (folder / "cover.jpg").write_bytes(b"a picture")
    return folder


def build(encoder: Encoder, out: Path, *inputs: Path, **options: object) -> BuildReport:
    settings = {"source": "folder", "workers": 1, **options}
    given = BuildOptions(out=out, inputs=tuple(map(str, inputs)), **settings)  # type: ignore[arg-type]
    return build_index(given, encoder, progress=False)


@pytest.fixture(scope="module")
def built(
    encoder: Encoder, sounds: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BuildReport]:
    out = tmp_path_factory.mktemp("audio") / "index"
    return out, build(encoder, out, sounds, modality="audio")


def stored(out: Path, modality: str) -> npt.NDArray[np.float32]:
    """The vectors of the first shard."""
    vectors = np.load(out / f"{modality}_emb/{modality}_emb_0000.npy").astype(np.float32)
    unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def table(out: Path) -> list[Mapping[str, object]]:
    return list(pq.read_table(out / "metadata/metadata_0000.parquet").to_pylist())


def test_sounds_of_any_length_are_embedded_as_the_encoder_does(
    built: tuple[Path, BuildReport], encoder: Encoder, sounds: Path
) -> None:
    """The reference is Encoder.encode of each file alone; float16 keeps 11 bits."""
    out, report = built
    assert (report.modality, report.input, report.indexed, report.corrupt) == ("audio", 7, 6, 1)
    files = [sounds / f"{number}.wav" for number in range(len(SECONDS))]
    alone = np.concatenate([encoder.encode("audio", [file]) for file in files])
    np.testing.assert_allclose(stored(out, "audio"), alone, atol=1e-3)
    (error,) = pq.read_table(out / "errors.parquet").to_pylist()
    assert (error["path"], error["reason"]) == (
        "3b.wav",
        "is truncated: 4,000 of 16,044 bytes",
    )


def test_the_table_tells_path_and_length_and_has_pictures_to_show(
    built: tuple[Path, BuildReport],
) -> None:
    """Lengths are those the sounds were made with; a picture of a sound is a square."""
    out, _ = built
    rows = table(out)
    assert [row["path"] for row in rows] == [f"{number}.wav" for number in range(len(SECONDS))]
    assert [row["caption"] for row in rows] == [f"tone number {n}" for n in range(len(SECONDS))]
    np.testing.assert_allclose([float(str(row["duration"])) for row in rows], SECONDS, atol=1e-3)
    assert "image_path" not in rows[0] and rows[0]["width"] is None and rows[0]["n_points"] is None
    index = Index.open(out)
    with Image.open(io.BytesIO(index.thumbnail(1) or b"")) as shown:
        assert (shown.format, shown.size) == ("WEBP", (256, 256))
    assert [row.path for row in index.rows([4])] == ["4.wav"]


def test_the_folder_names_its_modality(built: tuple[Path, BuildReport]) -> None:
    """The names in the product's description."""
    out, report = built
    manifest = Manifest.load(out)
    assert (manifest.modality, manifest.state) == ("audio", "complete")
    assert manifest.generation is not None
    assert manifest.generation.index == "generations/0001/audio.index"
    assert (out / "audio.index").is_file() and (out / "audio.json").is_file()
    assert Index.open(out).modality is Modality.AUDIO
    assert describe(out)["holds"] == "6 sounds"
    assert "6 sounds as vectors" in (out / "generations/0001/report.html").read_text()
    assert f"{out}: built, 6 sounds of 7 from folder: 7 sounds" in str(report)
    assert list(verify(out)) == []


def test_centres_come_from_the_rows_the_captions_and_the_encoder(
    built: tuple[Path, BuildReport], encoder: Encoder
) -> None:
    """Means by numpy; the encoder's own of text gives way to that of the captions."""
    out, _ = built
    centres = Manifest.load(out).centres
    assert set(centres) == {"audio", "text", "depth"}
    np.testing.assert_allclose(centres["audio"], stored(out, "audio").mean(axis=0), atol=1e-6)
    captions = [f"tone number {number}" for number in range(len(SECONDS))]
    np.testing.assert_allclose(
        centres["text"], encoder.encode("text", captions).mean(axis=0), atol=1e-6
    )
    assert list(centres["depth"]) == DEPTH_CENTRE
    assert set(json.loads((out / "generations/0001/report.json").read_text())["queries"]) == {
        *("audio", "text"),
    }


def test_any_modality_searches_it(
    built: tuple[Path, BuildReport], encoder: Encoder, sounds: Path
) -> None:
    """A sound finds itself; a text's neighbours are those of a plain matrix product."""
    out, _ = built
    ab = AnyBind(encoder, Index.open(out, encoder=encoder))
    first, *_ = ab.search(audio=str(sounds / "4.wav"), k=3, centre=False)
    assert (first.id, first.path, first.image_path) == (4, "4.wav", None)
    assert first.score == pytest.approx(1, abs=1e-3)
    text = encoder.encode("text", ["a bell"])[0]
    expected = np.argsort(-(stored(out, "audio") @ text))[:3]
    assert [hit.id for hit in ab.search(text="a bell", k=3, centre=False)] == list(expected)


def test_a_stopped_build_of_sounds_resumes_to_the_same_bytes(
    encoder: Encoder, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards of two inputs; the build is stopped in the third. The reference was not stopped."""
    monkeypatch.setattr(pipeline, "ROWS_PER_SHARD", 2)
    build(encoder, tmp_path / "whole", sounds, modality="audio")
    write = shards.write_shard

    def stop(folder: Path, modality: str, number: int, *args: object, **kwargs: object) -> object:
        if number == 2:
            raise KeyboardInterrupt
        return write(folder, modality, number, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "write_shard", stop)
        build(encoder, tmp_path / "part", sounds, modality="audio")
    assert Manifest.load(tmp_path / "part").counts.input == 4
    assert build(encoder, tmp_path / "part", sounds, modality="audio").encoded == 3
    for part in ("audio_emb", "metadata", "thumbnails"):
        for path in sorted((tmp_path / "whole" / part).iterdir()):
            assert (tmp_path / "part" / part / path.name).read_bytes() == path.read_bytes()


def test_clouds_of_any_size_and_format_are_embedded(encoder: Encoder, tmp_path: Path) -> None:
    """ply, xyz and npy of 5 to 3,000 points; Encoder.encode of each file is the reference."""
    rng = np.random.default_rng(2)
    folder = tmp_path / "clouds"
    folder.mkdir()
    np.save(folder / "a.npy", rng.standard_normal((3000, 3)).astype(np.float32))
    np.savetxt(folder / "b.xyz", rng.standard_normal((100, 3)))
    lines = "\n".join(" ".join(map(str, row)) for row in rng.standard_normal((5, 3)))
    names = "property float x\nproperty float y\nproperty float z"
    (folder / "c.ply").write_text(
        f"ply\nformat ascii 1.0\nelement vertex 5\n{names}\nend_header\n{lines}\n"
    )
    np.save(folder / "d.npy", np.full((10, 3), np.nan))
    (folder / "e.stl").write_bytes(b"solid of nothing")
    report = build(encoder, tmp_path / "out", folder, modality="points")
    assert (report.indexed, report.corrupt) == (3, 2)
    files = [folder / name for name in ("a.npy", "b.xyz", "c.ply")]
    alone = np.concatenate([encoder.encode("points", [file]) for file in files])
    np.testing.assert_allclose(stored(tmp_path / "out", "points"), alone, atol=1e-3)
    assert [row["n_points"] for row in table(tmp_path / "out")] == [3000, 100, 5]
    assert list(verify(tmp_path / "out")) == []


def test_an_index_of_texts_is_asked_by_moved_vectors(encoder: Encoder, tmp_path: Path) -> None:
    """Its own captions are what it holds, so they are no queries; a blank file is an error row."""
    folder = tmp_path / "texts"
    folder.mkdir()
    texts = ["a bell rings", "ein Hund bellt", "鸟在唱歌"]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (folder / "3.txt").write_text("  ")
    (folder / "4.txt").write_bytes(b"\xff\xfe\x00")
    report = build(encoder, tmp_path / "out", folder, modality="text")
    assert (report.indexed, report.corrupt) == (3, 2)
    assert report.errors == {"is an empty text": 1, "is not text in UTF-N": 1}
    np.testing.assert_allclose(
        stored(tmp_path / "out", "text"), encoder.encode("text", texts), atol=1e-3
    )
    assert [row["caption"] for row in table(tmp_path / "out")] == texts
    report_file = tmp_path / "out/generations/0001/report.json"
    assert set(json.loads(report_file.read_text())["queries"]) == {"text"}


def test_the_unit_of_depth_maps_is_part_of_the_build(encoder: Encoder, tmp_path: Path) -> None:
    """Resuming with another one would mix metres with millimetres."""
    folder = tmp_path / "maps"
    folder.mkdir()
    metres = np.linspace(1000, 4000, 40 * 50).reshape(40, 50).astype(np.uint16)
    Image.fromarray(metres).save(folder / "a.png")
    out = tmp_path / "out"
    build(encoder, out, folder, modality="depth")
    np.testing.assert_allclose(
        stored(out, "depth"), encoder.encode("depth", [folder / "a.png"]), atol=1e-3
    )
    other = load_encoder(encoder.name, depth_scale=0.0002)
    with pytest.raises(IndexFolderError, match=r"depth_scale was 0.001, now 0.0002"):
        build(other, out, folder, modality="depth")


def test_another_modality_is_refused_and_restart_replaces_it(
    encoder: Encoder, sounds: Path, tmp_path: Path
) -> None:
    """Nothing of the index of sounds stays behind, and the user's own file does."""
    out = tmp_path / "out"
    build(encoder, out, sounds, modality="audio", limit=2)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(IndexFolderError, match="modality was audio, now text"):
        build(encoder, out, sounds, modality="text", limit=2)
    build(encoder, out, sounds, modality="text", limit=2, restart=True, thumbnails=False)
    assert sorted(path.name for path in out.iterdir()) == [
        *("catalog.sqlite", "errors.parquet", "generations", "manifest.json", "metadata"),
        *("notes.txt", "text.index", "text.json", "text_emb"),
    ]


def test_what_cannot_be_built_is_said(encoder: Encoder, sounds: Path, tmp_path: Path) -> None:
    """No such modality, no tower for it, a collection that has none, a folder without any."""
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="modality 'smell' is unknown; there are image, text"):
        build(encoder, out, sounds, modality="smell")
    with pytest.raises(UsageError, match="cannot encode image: it has text, audio"):
        build(encoder, out, sounds)
    with pytest.raises(UsageError, match="cc3m is a collection of pictures; for an index of sound"):
        build(encoder, out, sounds, modality="audio", source="cc3m")
    with pytest.raises(UsageError, match="no point clouds in .*, only files that lie beside"):
        build(encoder, out, sounds, modality="points")
    assert not out.exists()
