"""Scenes as files: webdataset shards, or ordinary media files with a table.

Both kinds of export write a file under a temporary name and rename it when it is complete, so an
interrupted export is continued by the same command. Folders remember what they hold in
``world.json`` and refuse to be filled with something else.
"""

import csv
import io
import json
import tarfile
import tempfile
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..cores import available_cores
from ..encoders.modality import Modality
from ..errors import UsageError
from ..files import atomic_path, write_atomically
from .assembly import WORLD_VERSION
from .captions import caption
from .categories import CATEGORY_OF
from .cloud import cloud
from .heat import thermal
from .motion import IMU_RATE, imu
from .render import MAX_SIZE, MIN_SIZE, Box, Rendering, boxes, render
from .scene import Scene, scene
from .sound import SOUND_RATE, sound
from .splits import split_ids
from .workers import map_in_order

JPEG_QUALITY = 90
ROWS_PER_SHARD = 1000
CHUNK = 10  # scenes a worker makes between two looks at Ctrl-C and the progress bar
FEW = 64  # scenes; so few are not worth starting processes for
MILLIMETRES = 1000.0  # a metre; what a unit of an exported depth map is

SUFFIX_OF: Mapping[Modality, str] = {  # of a scene's file, in folders and in shards
    Modality.IMAGE: "jpg",
    Modality.AUDIO: "wav",  # 16-bit, mono
    Modality.VIDEO: "mp4",  # H.264 with the sound as AAC
    Modality.POINTS: "npy",  # float32 (n, 3)
    Modality.DEPTH: "png",  # 16-bit millimetres
    Modality.THERMAL: "png",  # 8-bit, bright is warm
    Modality.IMU: "csv",  # time in s, accelerations in m/s², rates of turn in rad/s
}
FOLDER_OF: Mapping[Modality, str] = {
    Modality.IMAGE: "images",
    Modality.AUDIO: "audio",
    Modality.VIDEO: "videos",
    Modality.POINTS: "points",
    Modality.DEPTH: "depth",
    Modality.THERMAL: "thermal",
    Modality.IMU: "imu",
}
DRAWN = frozenset({Modality.IMAGE, Modality.DEPTH})  # what a rendering holds
SLOW = frozenset({Modality.VIDEO})  # what takes seconds a scene
ITEM_COLUMNS = ("id", "category", "colour", "caption")  # of the table, before the paths
IMU_COLUMNS = ("time", "ax", "ay", "az", "gx", "gy", "gz")

Settings = dict[str, str | int]
Wanted = tuple[int, tuple[Modality, ...]]  # a scene's id, and what is to be made of it


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a worker returns of a scene."""

    files: Mapping[Modality, bytes]
    boxes: Mapping[int, Box]  # of the objects, by instance; empty where nothing was rendered


def export_webdataset(
    out: Path,
    split: str,
    limit: int,
    *,
    modality: str = Modality.IMAGE,
    size: int = 256,
    rows_per_shard: int = ROWS_PER_SHARD,
    workers: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write the first scenes of a split as tar shards that webdataset reads.

    A shard ``00000.tar`` has three members a scene, named after its id: the scene in the modality
    (``.jpg`` for images, see SUFFIX_OF), ``.txt`` (the primary English caption) and ``.json`` (what
    is in the scene; where, in images and depth maps; the Chinese caption). Its bytes depend on the
    arguments alone. Shards that are already there are kept.

    Args:
        out: Folder to write to, created where needed.
        split: A name of splits.SPLITS.
        limit: Scenes.
        modality: A key of SUFFIX_OF.
        size: px a side of images, depth maps, thermal images and videos; even for videos.
        rows_per_shard: Scenes a shard.
        workers: Processes to work in; 0 works in this one, None uses every core.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The paths of all shards, in order.

    Raises:
        UsageError: A wrong argument, or the folder holds another export.
    """
    ids = _checked_ids(split, limit, size)
    (made,) = _checked_modalities([modality], size)
    if rows_per_shard < 1:
        raise UsageError(f"asked for {rows_per_shard} scenes a shard; a shard has at least 1")
    settings: Settings = {"kind": "webdataset", "split": split, "limit": limit, "size": size,
                          "rows_per_shard": rows_per_shard}  # fmt: skip
    if made is not Modality.IMAGE:
        settings["modality"] = str(made)
    _claim(out, settings)
    shards = [ids[start : start + rows_per_shard] for start in range(0, limit, rows_per_shard)]
    paths = [out / f"{number:05d}.tar" for number in range(len(shards))]
    missing = [(path, part) for path, part in zip(paths, shards, strict=True) if not path.exists()]
    content = _iter_media([(i, (made,)) for _, part in missing for i in part], size, workers)
    done = limit - sum(len(part) for _, part in missing)
    with tqdm(total=limit, initial=done, unit="scene", disable=not progress) as bar:
        for path, part in missing:
            with atomic_path(path) as aside, tarfile.open(aside, "w") as tar:
                for scene_id in part:
                    of, media = scene(scene_id), next(content)
                    facts = json.dumps(describe(of, media.boxes), ensure_ascii=False)
                    _add(tar, f"{scene_id:08d}.{SUFFIX_OF[made]}", media.files[made])
                    _add(tar, f"{scene_id:08d}.txt", caption(of).encode())
                    _add(tar, f"{scene_id:08d}.json", facts.encode())
                    bar.update()
    return paths


def export_files(
    out: Path,
    split: str,
    limit: int,
    *,
    modalities: Sequence[str] = (Modality.IMAGE,),
    size: int = 256,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the first scenes of a split as ordinary files and a table of them.

    The table ``items.csv`` has the columns id, category, colour, caption, and one a modality with
    paths relative to the folder, such as ``images/20000000.jpg``. Files that are already there are
    kept, and so are the table's columns when more modalities are added; the table is written last.

    Args:
        out: Folder to write to, created where needed.
        split: A name of splits.SPLITS.
        limit: Scenes.
        modalities: What to write of each scene: keys of SUFFIX_OF.
        size: As in `export_webdataset`.
        workers: As in `export_webdataset`.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The path of the table.

    Raises:
        UsageError: A wrong argument, or the folder holds another export.
    """
    ids = _checked_ids(split, limit, size)
    asked = _checked_modalities(modalities, size)
    _claim(out, {"kind": "files", "split": split, "limit": limit, "size": size})

    def path_of(i: int, modality: Modality) -> Path:
        return Path(FOLDER_OF[modality], f"{i:08d}.{SUFFIX_OF[modality]}")

    missing: list[Wanted] = []
    for i in ids:
        absent = tuple(m for m in asked if not (out / path_of(i, m)).exists())
        if absent:
            missing.append((i, absent))
    content = _iter_media(missing, size, workers)
    with tqdm(total=limit, initial=limit - len(missing), unit="scene", disable=not progress) as bar:
        for i, _ in missing:
            for modality, written in next(content).files.items():
                write_atomically(out / path_of(i, modality), written)
            bar.update()
    table = out / "items.csv"
    columns = [m for m in SUFFIX_OF if m in asked or m in _columns(table)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*ITEM_COLUMNS, *columns])
    for i in ids:
        of = scene(i)
        first = of.objects[0]
        paths = [path_of(i, modality).as_posix() for modality in columns]
        writer.writerow([i, first.category, first.colour, caption(of), *paths])
    write_atomically(table, text.getvalue().encode())
    return table


def describe(of: Scene, where: Mapping[int, Box]) -> dict[str, object]:
    """Return what is in a scene, as the JSON member of a shard holds it.

    Args:
        of: The scene.
        where: The boxes of its objects in the picture, by instance; none for what is no picture.
    """
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
                **({"box": where[instance]} if instance in where else {}),
            }
            for instance, item in enumerate(of.objects, start=1)
        ],
        "caption_zh": caption(of, "zh"),
    }


def _checked_modalities(names: Sequence[str], size: int) -> tuple[Modality, ...]:
    """Return the modalities of that name, each once, in the order of SUFFIX_OF.

    Raises:
        UsageError: None, or one that scenes are not exported as, or not at this size.
    """
    known = [str(modality) for modality in SUFFIX_OF]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UsageError(
            f"cannot export {', '.join(unknown) or 'nothing'}; "
            f"scenes can be exported as {', '.join(known)}"
        )
    if Modality.VIDEO in names and size % 2:
        raise UsageError(f"asked for videos of {size} px a side; H.264 wants an even number")
    return tuple(modality for modality in SUFFIX_OF if modality in names)


def _columns(table: Path) -> list[str]:
    """Return the columns of an earlier table; none if there is no such file."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


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


def _iter_media(wanted: Sequence[Wanted], size: int, workers: int | None) -> Iterator[Made]:
    """Make the files of scenes, in order, in several processes."""
    slow = any(modality in SLOW for _, modalities in wanted for modality in modalities)
    if workers is None:
        workers = available_cores() if len(wanted) > (1 if slow else FEW) else 0
    step = 1 if slow else CHUNK
    chunks = (wanted[start : start + step] for start in range(0, len(wanted), step))
    for chunk in map_in_order(partial(_make_chunk, size=size), chunks, workers):
        yield from chunk


def _make_chunk(wanted: Sequence[Wanted], size: int) -> list[Made]:
    """Make the files of some scenes; runs in the worker processes."""
    made = []
    for i, modalities in wanted:
        of = scene(i)
        shown = render(of, size) if DRAWN.intersection(modalities) else None
        files = {modality: _media_file(of, modality, size, shown) for modality in modalities}
        made.append(Made(files=files, boxes={} if shown is None else boxes(shown.mask)))
    return made


def _media_file(of: Scene, modality: Modality, size: int, shown: Rendering | None) -> bytes:
    """Return a scene as the content of a file; ``shown`` is there for what is in DRAWN."""
    file = io.BytesIO()
    match modality:
        case Modality.IMAGE if shown is not None:
            Image.fromarray(shown.image).save(file, "JPEG", quality=JPEG_QUALITY)
        case Modality.DEPTH if shown is not None:
            millimetres = np.round(shown.depth * np.float32(MILLIMETRES)).astype(np.uint16)
            Image.fromarray(millimetres).save(file, "PNG")
        case Modality.THERMAL:
            Image.fromarray(thermal(of, size)).save(file, "PNG")
        case Modality.POINTS:
            np.save(file, cloud(of))
        case Modality.AUDIO:
            with wave.open(file, "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(SOUND_RATE)
                out.writeframes(sound(of).astype("<i2").tobytes())
        case Modality.IMU:
            samples = imu(of)  # (6, n)
            rows = np.vstack([np.arange(samples.shape[1]) / IMU_RATE, samples]).T
            header = ",".join(IMU_COLUMNS)
            np.savetxt(file, rows, fmt="%.6g", delimiter=",", header=header, comments="")
        case _:
            from .video import write_video  # PyAV is loaded for videos alone

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "scene.mp4")
                write_video(of, path, size)
                return path.read_bytes()
    return file.getvalue()
