"""Where things lie in an index folder: clip-retrieval's layout, so that its users' tools read it.

All paths are relative to the folder, so that a folder copied elsewhere still works. Only the names
listed here are ever removed from a folder.
"""

from pathlib import Path

from ..files import remove

MANIFEST = "manifest.json"
CATALOG = "catalog.sqlite"
ERRORS = "errors.parquet"
METADATA = "metadata"
THUMBNAILS = "thumbnails"
GENERATIONS = "generations"


def embeddings_folder(modality: str) -> str:
    """``img_emb``, ``text_emb``, ``audio_emb``, ..."""
    return f"{'img' if modality == 'image' else modality}_emb"


def embeddings_path(modality: str, number: int) -> str:
    """Vectors of one shard: float16 ``(rows, dim)``."""
    folder = embeddings_folder(modality)
    return f"{folder}/{folder}_{number:04d}.npy"


def metadata_path(number: int) -> str:
    """What is known of the items of one shard, in the order of its vectors."""
    return f"{METADATA}/metadata_{number:04d}.parquet"


def thumbnails_path(number: int) -> str:
    """Small pictures of one shard."""
    return f"{THUMBNAILS}/thumbnails_{number:04d}.tar"


def generation_folder(number: int) -> str:
    """One complete FAISS index with its report."""
    return f"{GENERATIONS}/{number:04d}"


def parts(modality: str) -> tuple[str, ...]:
    """Everything an index has at the top of its folder, the manifest first."""
    links = (f"{modality}.index", f"{modality}.json")
    folders = (embeddings_folder(modality), METADATA, THUMBNAILS, GENERATIONS)
    return (MANIFEST, *links, CATALOG, ERRORS, *folders)


def erase(folder: Path, modality: str) -> None:
    """Remove an index from a folder, and nothing else that lies there.

    The manifest goes first: from then on the folder holds no index, whatever interrupts the rest.
    """
    for name in parts(modality):
        remove(folder / name)


def size_in_bytes(folder: Path, modality: str) -> int:
    """What an index takes on the disk, without other things in its folder; links count nothing."""
    tops = [folder / name for name in parts(modality)]
    files = [*tops, *(path for top in tops for path in top.rglob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())
