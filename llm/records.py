"""Training data on disk: webdataset shards, and JSON lists in the layouts of LLaVA and Alpaca.

Whatever the layout, a record is a conversation: turns with answers, and perhaps a picture that is
shown with a turn. A caption is a conversation of one turn. What is wrong with a list is an error
that names the file and the record; what is wrong with one sample of a shard skips the sample.
"""

import glob
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import MediaError, UsageError
from ..tar import Member, iter_samples, read_start, split_name
from .prompt import CAPTION, Turn

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm")  # members of a shard
MAX_SIDECAR_BYTES = 1 << 20  # of a caption beside a picture
MARKER = "<image>"  # LLaVA: where in a question the picture stands
ASKS, SAYS = ("human", "user"), ("gpt", "assistant")  # the speakers of LLaVA's layout


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where records are read from, and how often they are seen."""

    path: Path  # a folder or glob of tar files, a tar file, or a .json or .jsonl list
    weight: float = 1.0  # times an epoch shows each record: 2 shows it twice, 0.5 every other time

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise UsageError(f"{self.path} has the weight {self.weight}; give a positive number")


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a picture: a file, or a part of one."""

    file: str
    offset: int = 0  # bytes
    size: int | None = None  # bytes; None: to the end of the file

    def read(self) -> bytes:
        """The encoded picture."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read() if self.size is None else file.read(self.size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A conversation to learn from."""

    name: str  # for messages: file and record
    turns: tuple[Turn, ...]  # all with answers
    pictures: tuple[Picture | None, ...]  # what each turn newly shows; None: nothing new


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A sample of a shard that cannot be used."""

    name: str
    reason: str


def find_files(source: Source) -> list[Path]:
    """The tar files of a source, or its list.

    Raises:
        UsageError: There is nothing of that name, or no tar file in a folder.
    """
    path = source.path
    if path.is_dir():
        found = sorted(path.rglob("*.tar"))
        if not found:
            raise UsageError(
                f"{path} has no tar files; give a folder of webdataset shards, or a .json or "
                ".jsonl list"
            )
        return found
    if path.is_file():
        return [path]
    found = sorted(Path(name) for name in glob.glob(os.fspath(path), recursive=True))
    if not found:
        raise UsageError(f"there is no {path}; check the path or the pattern")
    return found


def read_records(source: Source, image_root: Path | None = None) -> Iterator[Record | Skipped]:
    """The records of a source, in a fixed order.

    Args:
        source: What to read.
        image_root: What the pictures of a list are relative to; by default the list's folder.

    Raises:
        UsageError: A file is missing, is no list, or has a record that cannot be understood.
    """
    for path in find_files(source):
        if path.suffix == ".tar":
            yield from _read_shard(path)
        elif path.suffix in (".json", ".jsonl"):
            root = path.parent if image_root is None else image_root
            for number, data in _entries(path):
                yield _from_list(f"{path}, record {number}", data, root)
        else:
            raise UsageError(f"{path} is neither a .tar shard nor a .json or .jsonl list")


# ------------------------------------------------------------------------------ shards


def _read_shard(path: Path) -> Iterator[Record | Skipped]:
    try:
        with path.open("rb") as file:
            for members in iter_samples(file):
                yield _sample(path, file, members)
    except MediaError as error:
        yield Skipped(name=str(path), reason=str(error))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _sample(path: Path, file: BinaryIO, members: list[Member]) -> Record | Skipped:
    name = f"{path}#{split_name(members[0])[0]}"
    parts = {split_name(member)[1]: member for member in members}
    picture = next((parts[suffix] for suffix in PICTURES if suffix in parts), None)
    if picture is None:
        return Skipped(name=name, reason=f"no picture among {', '.join(parts)}")
    caption = ""
    if "txt" in parts:
        content = read_start(file, parts["txt"], MAX_SIDECAR_BYTES)
        caption = content.decode("utf-8-sig", "replace").strip()
    elif "json" in parts:
        try:
            found = json.loads(read_start(file, parts["json"], MAX_SIDECAR_BYTES))
        except (ValueError, RecursionError):
            return Skipped(name=name, reason="the .json beside the picture is not JSON")
        text = found.get("caption") if isinstance(found, dict) else None
        caption = text.strip() if isinstance(text, str) else ""
    if not caption:
        return Skipped(name=name, reason="no caption beside the picture")
    return Record(
        name=name,
        turns=(Turn(question=CAPTION, answer=caption),),
        pictures=(Picture(str(path), picture.offset, picture.size),),
    )


# ------------------------------------------------------------------------------ lists


def _entries(path: Path) -> Iterator[tuple[int, object]]:
    """The records of a list with their numbers, from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            if path.suffix == ".jsonl":
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _parsed(line, f"{path}, line {number}")
                return
            content = _parsed(file.read(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason or error}") from error
    if not isinstance(content, list):
        raise UsageError(f"{path} holds no list of records, as LLaVA's and Alpaca's files do")
    yield from enumerate(content, 1)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not JSON: {error}") from error


def _from_list(name: str, data: object, root: Path) -> Record:
    """A record of either layout, told by its keys."""
    if isinstance(data, Mapping) and "conversations" in data:
        return _llava(name, data, root)
    if isinstance(data, Mapping) and "instruction" in data:
        return _alpaca(name, data)
    there = (
        f"the keys {', '.join(map(str, data))}" if isinstance(data, Mapping) else f"{data!r:.40}"
    )
    raise UsageError(
        f"{name} has {there}; it needs conversations (LLaVA) or instruction and output (Alpaca)"
    )


def _alpaca(name: str, data: Mapping[str, object]) -> Record:
    if "image" in data:
        raise UsageError(
            f"{name} has a picture in Alpaca's layout; write it as conversations (LLaVA)"
        )
    instruction = _text(name, data, "instruction")
    answer = _text(name, data, "output")
    context = data.get("input")
    if not isinstance(context, str | None):
        raise UsageError(f"{name}: input is {context!r:.40}; a text is meant")
    turn = Turn(question=instruction, context=context or None, answer=answer)
    return Record(name=name, turns=(turn,), pictures=(None,))


def _llava(name: str, data: Mapping[str, object], root: Path) -> Record:
    """Speakers in turn; pictures stand where the marker is, or before the first question."""
    given = data.get("image")
    images = [given] if isinstance(given, str) else given or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise UsageError(f"{name}: image is {given!r:.40}; a path or a list of paths is meant")
    said = data["conversations"]
    if not isinstance(said, list) or not said or len(said) % 2:
        n = len(said) if isinstance(said, list) else "no"
        raise UsageError(f"{name} has {n} entries in conversations; a question and an answer each")
    questions, answers = (
        [_value(name, entry, speakers) for entry in said[first::2]]
        for first, speakers in enumerate((ASKS, SAYS))
    )
    shown = [question.count(MARKER) for question in questions]
    if images and not any(shown):
        shown[0] = 1
    if sum(shown) != len(images) or max(shown) > 1:
        raise UsageError(
            f"{name} has {len(images)} pictures, and its questions show {shown} of them; write "
            f"{MARKER} once into each question that shows one"
        )
    left = iter(images)
    pictures = [Picture(os.path.join(root, next(left))) if n else None for n in shown]
    for picture in pictures:
        if picture is not None and not os.path.isfile(picture.file):
            raise UsageError(f"{name}: there is no picture {picture.file}; give image_root")
    turns = []
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        question = question.replace(MARKER, "").strip()
        if not (question and answer.strip()):
            missing = "answer" if question else "question"
            raise UsageError(f"{name} has no {missing} in turn {number}")
        turns.append(Turn(question=question, answer=answer.strip()))
    return Record(name=name, turns=tuple(turns), pictures=tuple(pictures))


def _value(name: str, entry: object, speakers: tuple[str, ...]) -> str:
    """What one of the speakers says."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("value"), str):
        raise UsageError(f"{name}: {entry!r:.40} in conversations has no text as its value")
    if entry.get("from") not in speakers:
        raise UsageError(
            f"{name}: {entry.get('from')!r} speaks where {' or '.join(speakers)} is due"
        )
    return str(entry["value"])


def _text(name: str, data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} has no {key}")
    return value.strip()
