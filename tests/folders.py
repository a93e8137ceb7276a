"""Index folders made of numpy vectors, for the tests of what writes and reads them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from anybind.encoders.modality import Vectors
from anybind.index.generation import build_generation
from anybind.index.manifest import EncoderId, Manifest, SourceInfo
from anybind.index.shards import Row, SkippedItem, write_shard

DIM = 32
ENCODER = EncoderId(
    name="numpy-projection", fingerprint="sha256:" + "ab" * 32, dim=DIM, reference=False
)


def unit_rows(n: int, *, seed: int, dim: int = DIM) -> Vectors:
    """Random unit rows ``(n, dim)``."""
    rows = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def rows_of(ids: range) -> list[Row]:
    """Metadata rows that tell the items apart."""
    return [
        Row(
            id=i,
            key=f"{i:06d}",
            caption=f"picture {i}",
            image_path=f"00000.tar#{i:06d}.jpg",
            width=100 + i % 50,
            height=200,
            sha256=f"{i:064x}",
        )
        for i in ids
    ]


def webp(item: int) -> bytes:
    """A small picture whose colour tells the item."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (item % 256, 60, 90)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def new_manifest() -> Manifest:
    """The manifest of a build that has not written a shard."""
    source = SourceInfo(kind="folder", input=("photos",))
    return Manifest(modality="image", encoder=ENCODER, source=source)


def write_folder(
    folder: Path, vectors: Vectors, *, per_shard: int = 40, thumbnails: bool = True
) -> Manifest:
    """Write the shards of an index, one skipped item in each, and the manifest; no generation."""
    manifest = new_manifest()
    for number, start in enumerate(range(0, len(vectors), per_shard)):
        ids = range(start, min(start + per_shard, len(vectors)))
        at = manifest.counts.input
        entry = write_shard(
            folder,
            "image",
            number,
            vectors[ids.start : ids.stop],
            rows_of(ids),
            thumbnails={i: webp(i) for i in ids} if thumbnails else None,
            skipped=[
                SkippedItem(input=at + len(ids), key="bad", path="bad.jpg", reason="truncated")
            ],
        )
        manifest = manifest.with_shard(entry)
        manifest.save(folder)
    return manifest


def build_folder(folder: Path, vectors: Vectors) -> Manifest:
    """Write a finished index."""
    write_folder(folder, vectors)
    return build_generation(folder)
