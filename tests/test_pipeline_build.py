"""Building an index from a collection of pictures: counts, order, resuming, and what is refused."""

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from anybind.encoders.images import ImagePreprocessor
from anybind.encoders.modality import Modality, Vectors
from anybind.errors import AnyBindError, IndexFolderError, UsageError, WriteError
from anybind.index import shards as module
from anybind.index.manifest import Manifest
from anybind.index.pipeline import BuildOptions, build_index
from anybind.index.verify import verify

SIZE = 8  # px a side that the encoder below reads
DIM = 16
TOKENS = 12


def text_pixels(item: object) -> npt.NDArray[np.generic]:
    """Letters as numbers."""
    letters = np.zeros(TOKENS, np.int64)
    codes = str(item).encode()[:TOKENS]
    letters[: len(codes)] = np.frombuffer(codes, np.uint8)
    return letters


class Projection:
    """An encoder made of one random matrix: enough to tell pictures apart."""

    dim = DIM
    reference = False
    modalities = (Modality.IMAGE, Modality.TEXT)
    centres: Mapping[Modality, Vectors] = {}

    def __init__(self, name: str = "projection", seconds: float = 0.0) -> None:
        self.name = name
        self.fingerprint = f"sha256:{name}"
        self.seconds = seconds  # how long a call takes, so that a build can be killed in between
        rng = np.random.default_rng(0)
        self.image = rng.standard_normal((SIZE * SIZE * 3, DIM)).astype(np.float32)
        self.text = rng.standard_normal((TOKENS, DIM)).astype(np.float32)

    def preprocessor(self, modality: Modality) -> Callable[[object], npt.NDArray[np.generic]]:
        return ImagePreprocessor(size=SIZE) if modality is Modality.IMAGE else text_pixels

    def encode_prepared(
        self,
        modality: Modality,
        items: Sequence[npt.NDArray[np.generic]],
        *,
        batch_size: int | None = None,
    ) -> Vectors:
        time.sleep(self.seconds)
        matrix = self.image if modality is Modality.IMAGE else self.text
        flat = np.stack(items).reshape(len(items), -1).astype(np.float32) / 255 - 0.5
        rows = flat @ matrix
        unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit


def jpeg(number: int, size: tuple[int, int] = (24, 20)) -> bytes:
    """A small picture that no other number has."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """A tar file with these members, in this order."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_shards(folder: Path, n: int, *, bad: Callable[[int], bytes | None]) -> None:
    """``n`` samples in tars of 1,200; ``bad`` gives what replaces the picture of some."""
    folder.mkdir()
    for start in range(0, n, 1200):
        members = []
        for i in range(start, min(start + 1200, n)):
            content = bad(i)
            members.append((f"{i:06d}.jpg", jpeg(i) if content is None else content))
            members.append((f"{i:06d}.txt", f"{i} as a picture".encode()))
        write_tar(folder / f"{start // 1200:05d}.tar", members)


def all_files(folder: Path) -> dict[str, bytes]:
    """Vectors, metadata and thumbnails of an index."""
    parts = ("img_emb", "metadata", "thumbnails")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in parts
        for path in sorted((folder / part).iterdir())
    }


def build(
    out: Path, *inputs: Path, name: str = "projection", **options: object
) -> dict[str, object]:
    settings = {"source": "webdataset", "workers": 2, **options}
    given = BuildOptions(out=out, inputs=tuple(map(str, inputs)), **settings)  # type: ignore[arg-type]
    return dict(build_index(given, Projection(name), progress=False).to_dict())


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,300 samples, every 20th of them bad in one of three ways."""
    bad = (b"", b"this is a text", jpeg(0)[:300])
    folder = tmp_path_factory.mktemp("collection") / "shärds of mine"
    write_shards(folder, 2300, bad=lambda i: None if i % 20 else bad[i // 20 % 3])
    return folder


@pytest.fixture(scope="module")
def built(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The index of ``shards``, with its report."""
    out = tmp_path_factory.mktemp("index") / "out"
    return out, build(out, shards)


def test_every_input_is_indexed_or_listed_with_its_reason(
    built: tuple[Path, dict[str, object]],
) -> None:
    """The collection was made with 115 bad samples of three kinds."""
    out, report = built
    assert (report["input"], report["indexed"], report["corrupt"]) == (2300, 2185, 115)
    errors = pq.read_table(out / "errors.parquet").to_pylist()
    assert [row["input"] for row in errors] == list(range(0, 2300, 20))
    assert errors[0] == {
        "input": 0,
        "key": "000000",
        "path": "00000.tar#000000.jpg",
        "reason": "is empty (0 bytes)",
    }
    assert errors[1]["reason"].startswith("is not an image")
    assert errors[2]["reason"].startswith("is a damaged image")
    assert sorted(report["errors"].values()) == [38, 38, 39]  # type: ignore[attr-defined]
    manifest = Manifest.load(out)
    assert [shard.inputs for shard in manifest.shards] == [1000, 1000, 300]


def test_rows_vectors_and_thumbnails_belong_together(
    built: tuple[Path, dict[str, object]],
) -> None:
    """Vectors are compared with the encoder's own of the same pictures, one by one."""
    out, _ = built
    encoder = Projection()
    prepare = encoder.preprocessor(Modality.IMAGE)
    first = 0
    for number, rows in enumerate((950, 950, 285)):
        vectors = np.load(out / f"img_emb/img_emb_{number:04d}.npy")
        table = pq.read_table(out / f"metadata/metadata_{number:04d}.parquet").to_pylist()
        assert len(vectors) == len(table) == rows
        for vector, row in list(zip(vectors, table, strict=True))[::97]:
            expected = encoder.encode_prepared(Modality.IMAGE, [prepare(jpeg(int(row["key"])))])[0]
            np.testing.assert_allclose(vector, expected, atol=1e-3)
            assert row["caption"] == f"{int(row['key'])} as a picture"
            assert (row["width"], row["height"]) == (24, 20)
            with (out / f"thumbnails/thumbnails_{number:04d}.tar").open("rb") as file:
                file.seek(row["thumbnail_offset"])
                shown = Image.open(io.BytesIO(file.read(row["thumbnail_size"])))
            assert (shown.format, shown.size) == ("WEBP", (24, 20))
        assert [row["id"] for row in table] == list(range(first, first + rows))
        first += rows


def test_captions_are_asked_for_in_the_report(built: tuple[Path, dict[str, object]]) -> None:
    """Recall is measured by text and by image; a flat index finds what exact search finds."""
    out, report = built
    queries = json.loads((out / "generations/0001/report.json").read_text())["queries"]
    assert set(queries) == {"image", "text"}
    assert report["recall_at_10"] == 1.0


def test_building_again_does_nothing(built: tuple[Path, dict[str, object]], shards: Path) -> None:
    """Not one file is written: names, sizes and times of all stay the same."""
    out, report = built

    def state() -> dict[str, tuple[int, int]]:
        files = (path for path in out.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before = state()
    again = build(out, shards)
    assert state() == before
    assert again["state"] == "already built"
    assert again["encoded"] == 0
    for name in ("input", "indexed", "corrupt", "errors", "recall_at_10"):
        assert again[name] == report[name]


def test_a_killed_build_resumes_to_the_same_bytes(
    built: tuple[Path, dict[str, object]], shards: Path, tmp_path: Path
) -> None:
    """The reference is the build that nothing interrupted; the kill is SIGKILL, between shards."""
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, __file__, str(out), str(shards)])
    deadline = time.monotonic() + 60
    while not (out / "manifest.json").exists() or not Manifest.load(out).shards:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_kept = Manifest.load(out).counts.input
    assert n_kept in (1000, 2000)
    report = build(out, shards)
    assert report["encoded"] == 2300 - n_kept
    assert all_files(out) == all_files(built[0])
    assert (out / "errors.parquet").read_bytes() == (built[0] / "errors.parquet").read_bytes()


def test_no_decoding_process_outlives_a_killed_build(shards: Path, tmp_path: Path) -> None:
    """Processes are looked for in /proc by the folder their builder was given."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc, which Linux has")
    mark = f"ANYBIND_TEST_MARK={tmp_path}".encode()

    def marked() -> int:
        found = 0
        for place in Path("/proc").glob("[0-9]*/environ"):
            try:
                found += mark in place.read_bytes()
            except OSError:
                continue
        return found

    process = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path / "out"), str(shards)],
        env={**os.environ, "ANYBIND_TEST_MARK": str(tmp_path)},
    )
    deadline = time.monotonic() + 60
    while marked() < 3:  # the builder and two workers
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    while marked():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupted_build_keeps_its_shards(shards: Path, tmp_path: Path) -> None:
    """Ctrl-C, as the terminal sends it; the caller gets KeyboardInterrupt, and no one chatters."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, __file__, str(out), str(shards)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (out / "manifest.json").exists() or not Manifest.load(out).shards:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.strip() == "KeyboardInterrupt"
    assert Manifest.load(out).counts.input >= 1000
    assert Manifest.load(out).state == "building"


def test_a_damaged_last_shard_is_encoded_again(
    built: tuple[Path, dict[str, object]], shards: Path, tmp_path: Path
) -> None:
    """The reference is the undamaged build."""
    out = tmp_path / "out"
    shutil.copytree(built[0], out, symlinks=True)
    facts = json.loads((out / "manifest.json").read_text())
    facts.update(state="building", generation=None)
    (out / "manifest.json").write_text(json.dumps(facts))
    (out / "img_emb/img_emb_0002.npy").write_bytes(b"damaged")
    report = build(out, shards)
    assert report["encoded"] == 300
    assert all_files(out) == all_files(built[0])


def test_other_encoders_options_and_inputs_are_refused(
    built: tuple[Path, dict[str, object]], shards: Path, tmp_path: Path
) -> None:
    """The message names what differs, with both values, and the index stays as it is."""
    out, _ = built
    before = all_files(out)
    with pytest.raises(IndexFolderError, match="projection .*other"):
        build(out, shards, name="other")
    with pytest.raises(IndexFolderError, match="limit was None, now 7; thumbnails was True, now F"):
        build(out, shards, limit=7, thumbnails=False)
    with pytest.raises(IndexFolderError, match="source was webdataset, now folder"):
        build(out, shards, source="folder")
    first = next(shards.glob("*.tar"))
    with pytest.raises(IndexFolderError, match=r"the input was 2 files of \d+ bytes, now it is 1"):
        build(out, first)
    assert all_files(out) == before


def test_restart_discards_the_index_and_nothing_else(shards: Path, tmp_path: Path) -> None:
    """A file of the user's in the folder survives."""
    out = tmp_path / "out"
    build(out, shards, limit=30)
    (out / "notes.txt").write_text("mine")
    report = build(out, shards, limit=20, restart=True, thumbnails=False)
    assert (report["state"], report["input"], report["encoded"]) == ("built", 20, 20)
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "thumbnails").exists()


def test_batches_and_workers_leave_the_vectors_alone(shards: Path, tmp_path: Path) -> None:
    """One sample at a time is the reference; a projection has no rounding that batches change."""
    build(tmp_path / "one", shards, limit=50, batch_size=1, workers=1)
    build(tmp_path / "many", shards, limit=50, batch_size=16, workers=3)
    one, many = (np.load(tmp_path / name / "img_emb/img_emb_0000.npy") for name in ("one", "many"))
    np.testing.assert_allclose(one, many, atol=1e-3)


def test_a_collection_without_one_good_picture_fails(tmp_path: Path) -> None:
    """The message says how many there were and what is wrong with most of them."""
    write_shards(tmp_path / "bad", 12, bad=lambda i: b"" if i else b"no picture")
    with pytest.raises(
        AnyBindError, match=r"none of 12 pictures .* is empty \(N bytes\), is not an"
    ):
        build(tmp_path / "out", tmp_path / "bad")


def test_a_shard_may_hold_nothing_but_bad_pictures(tmp_path: Path) -> None:
    """The first thousand are bad; ids begin with the first good one."""
    write_shards(tmp_path / "mostly bad", 1010, bad=lambda i: b"no picture" if i < 1000 else None)
    report = build(tmp_path / "out", tmp_path / "mostly bad")
    assert (report["indexed"], report["corrupt"]) == (10, 1000)
    rows = pq.read_table(tmp_path / "out/metadata/metadata_0001.parquet").to_pylist()
    assert [(row["id"], row["key"]) for row in rows] == [(i, f"{1000 + i:06d}") for i in range(10)]
    assert list(verify(tmp_path / "out")) == []


def test_a_full_disk_is_one_line_and_leaves_complete_shards(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the second shard on; then there is room again."""
    write = module._write_npy

    def fails(path: Path, array: npt.NDArray[np.float16]) -> None:
        if "0001" in path.name:
            raise OSError(28, "No space left on device")
        write(path, array)

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(WriteError, match="disk is full"):
        patch.setattr(module, "_write_npy", fails)
        build(out, shards)
    assert Manifest.load(out).counts.input == 1000
    assert build(out, shards)["encoded"] == 1300


def test_two_builds_in_one_folder_are_refused(shards: Path, tmp_path: Path) -> None:
    """The folder is locked here as a running build locks it."""
    out = tmp_path / "out"
    out.mkdir()
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(IndexFolderError, match="another build is writing"):
        build(out, shards)
    os.close(descriptor)


def test_a_folder_that_is_a_file_is_refused(shards: Path, tmp_path: Path) -> None:
    """The file stays as it is."""
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(WriteError, match="cannot write"):
        build(out, shards)
    assert out.read_text() == "mine"


def test_options_that_cannot_be_are_refused() -> None:
    """Zero workers decode nothing."""
    with pytest.raises(UsageError, match="workers is 0"):
        BuildOptions(source="folder", out=Path("out"), workers=0)


def test_the_report_reads_well(built: tuple[Path, dict[str, object]], shards: Path) -> None:
    """What a person sees at the end."""
    out, _ = built
    options = BuildOptions(source="webdataset", out=out, inputs=(str(shards),))
    lines = str(build_index(options, Projection(), progress=False)).splitlines()
    assert lines[0] == f"{out}: already built, 2,185 pictures of 2,300 from webdataset: 2 tar files"
    assert lines[1] == "skipped 115 items, listed in errors.parquet:"
    assert lines[-1] == "index 1: Flat, recall@10 1.000 against exact search"


if __name__ == "__main__":  # a build in a process of its own, to be killed
    asked = BuildOptions(
        source="webdataset", out=Path(sys.argv[1]), inputs=(sys.argv[2],), workers=2
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs begin without it
    try:
        build_index(asked, Projection(seconds=0.1), progress=False)
    except KeyboardInterrupt:
        sys.exit("KeyboardInterrupt")
