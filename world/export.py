"""Scenes as files: webdataset shards, or ordinary pictures with a table.

Both kinds of export write a file under a temporary name and rename it when it is complete, so an
interrupted export is continued by the same command. Folders remember what they hold in
``world.json`` and refuse to be filled with something else.
"""

import csv
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..errors import UsageError
from ..files import atomic_path, write_atomically
from .assembly import WORLD_VERSION
from .captions import caption
from .categories import CATEGORY_OF
from .render import MAX_SIZE, MIN_SIZE, render
from .scene import Scene, scene
from .splits import split_ids
from .workers import available_cores, map_in_order

JPEG_QUALITY = 90
ROWS_PER_SHARD = 1000
CHUNK = 10  # scenes a worker renders between two looks at Ctrl-C and the progress bar
FEW = 64  # scenes; so few are not worth starting processes for
MODALITIES = ("image",)  # that can be exported as files

Settings = dict[str, str | int]
Files = tuple[bytes, str, str]  # a scene's picture (JPEG), caption and metadata (JSON)


def export_webdataset(
    out: Path,
    split: str,
    limit: int,
    *,
    size: int = 256,
    rows_per_shard: int = ROWS_PER_SHARD,
    workers: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write the first scenes of a split as tar shards that webdataset reads.

    A shard ``00000.tar`` has three members a scene, named after its id: ``.jpg``, ``.txt`` (the
    primary English caption) and ``.json`` (what is in the scene, and the Chinese caption). Its
    bytes depend on the arguments alone. Shards that are already there are kept.

    Args:
        out: Folder to write to, created where needed.
        split: A name of splits.SPLITS.
        limit: Scenes.
        size: px a side of the pictures.
        rows_per_shard: Scenes a shard.
        workers: Processes to render in; 0 renders in this one, None uses every core.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The paths of all shards, in order.

    Raises:
        UsageError: A wrong argument, or the folder holds another export.
    """
    ids = _checked_ids(split, limit, size)
    if rows_per_shard < 1:
        raise UsageError(f"asked for {rows_per_shard} scenes a shard; a shard has at least 1")
    _claim(out, {"kind": "webdataset", "split": split, "limit": limit, "size": size,
                 "rows_per_shard": rows_per_shard})  # fmt: skip
    shards = [ids[start : start + rows_per_shard] for start in range(0, limit, rows_per_shard)]
    paths = [out / f"{number:05d}.tar" for number in range(len(shards))]
    missing = [(path, part) for path, part in zip(paths, shards, strict=True) if not path.exists()]
    rendered = _iter_files([i for _, part in missing for i in part], size, workers)
    done = limit - sum(len(part) for _, part in missing)
    with tqdm(total=limit, initial=done, unit="scene", disable=not progress) as bar:
        for path, part in missing:
            with atomic_path(path) as aside, tarfile.open(aside, "w") as tar:
                for scene_id in part:
                    picture, text, metadata = next(rendered)
                    _add(tar, f"{scene_id:08d}.jpg", picture)
                    _add(tar, f"{scene_id:08d}.txt", text.encode())
                    _add(tar, f"{scene_id:08d}.json", metadata.encode())
                    bar.update()
    return paths


def export_files(
    out: Path,
    split: str,
    limit: int,
    *,
    modalities: Sequence[str] = MODALITIES,
    size: int = 256,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the first scenes of a split as ordinary files and a table of them.

    The table ``items.csv`` has the columns id, category, colour, caption, and one a modality with
    paths relative to the folder, such as ``images/20000000.jpg``. Pictures that are already there
    are kept; the table is written last.

    Args:
        out: Folder to write to, created where needed.
        split: A name of splits.SPLITS.
        limit: Scenes.
        modalities: What to write of each scene.
        size: px a side of the pictures.
        workers: As in `export_webdataset`.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The path of the table.

    Raises:
        UsageError: A wrong argument, or the folder holds another export.
    """
    ids = _checked_ids(split, limit, size)
    unknown = [name for name in modalities if name not in MODALITIES]
    if unknown or not modalities:
        raise UsageError(
            f"cannot export {', '.join(unknown) or 'nothing'}; "
            f"scenes can be exported as {', '.join(MODALITIES)}"
        )
    _claim(out, {"kind": "files", "split": split, "limit": limit, "size": size})
    paths = {i: out / "images" / f"{i:08d}.jpg" for i in ids}
    missing = [i for i in ids if not paths[i].exists()]
    rendered = _iter_files(missing, size, workers)
    with tqdm(total=limit, initial=limit - len(missing), unit="scene", disable=not progress) as bar:
        for i in missing:
            write_atomically(paths[i], next(rendered)[0])
            bar.update()
    table = out / "items.csv"
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["id", "category", "colour", "caption", "image"])
    for i in ids:
        of = scene(i)
        first = of.objects[0]
        path = paths[i].relative_to(out).as_posix()
        writer.writerow([i, first.category, first.colour, caption(of), path])
    write_atomically(table, text.getvalue().encode())
    return table


def describe(of: Scene) -> dict[str, object]:
    """Return what is in a scene, as the JSON member of a shard holds it."""
    first = of.objects[0]
    return {
        "id": of.id,
        "split": of.split,
        "category": first.category,
        "colour": first.colour,
        "place": of.place.value,
        "relation": None if of.relation is None else of.relation.value,
        "objects": [
            {
                "category": item.category,
                "colour": item.colour,
                "group": CATEGORY_OF[item.category].group,
            }
            for item in of.objects
        ],
        "caption_zh": caption(of, "zh"),
    }


def _checked_ids(split: str, limit: int, size: int) -> range:
    """Return the ids to export, before anything is written.

    Raises:
        UsageError: No such split or so few scenes, or no such picture size.
    """
    if limit < 1:
        raise UsageError(f"asked for {limit} scenes; ask for at least 1")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"asked for {size} px a side; pictures have {MIN_SIZE} to {MAX_SIZE}")
    return split_ids(split, limit)


def _claim(out: Path, settings: Settings) -> None:
    """Note in the folder what it is for, or check that it is for the same.

    Raises:
        UsageError: It holds another export, or something that is no export.
    """
    note = out / "world.json"
    wanted = {**settings, "world": WORLD_VERSION, "jpeg_quality": JPEG_QUALITY}
    if note.exists():
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"{note} is damaged; remove the folder or choose another")
        differing = [
            f"{name} {found.get(name)} there, {wanted.get(name)} here"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name)
        ]
        if differing:
            raise UsageError(
                f"{out} holds another export ({'; '.join(differing)}); "
                "remove it or choose another folder"
            )
        return
    if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(f"{out} holds other files; choose an empty or a new folder")
    write_atomically(note, (json.dumps(wanted, indent=1) + "\n").encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member whose header depends on nothing but its name and length."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _iter_files(ids: Sequence[int], size: int, workers: int | None) -> Iterator[Files]:
    """Render scenes and encode them, in order, in several processes."""
    if workers is None:
        workers = available_cores() if len(ids) > FEW else 0
    chunks = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
    for chunk in map_in_order(partial(_make_files, size=size), chunks, workers):
        yield from chunk


def _make_files(ids: Sequence[int], size: int) -> list[Files]:
    """Render some scenes; runs in the worker processes."""
    made = []
    for i in ids:
        of = scene(i)
        picture = io.BytesIO()
        Image.fromarray(render(of, size).image).save(picture, "JPEG", quality=JPEG_QUALITY)
        metadata = json.dumps(describe(of), ensure_ascii=False)
        made.append((picture.getvalue(), caption(of), metadata))
    return made
