"""What every source gives: samples, each a medium with what is known about it, in a fixed order.

A source reads names and captions and says where the media lie; it opens none. Whatever is wrong
with one sample travels in it as ``problem``, so every input of a source is accounted for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...encoders.modality import Modality

IMAGE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm"}
)
ARRAY_SUFFIXES = frozenset({"npy", "npz", "pt"})
# Files taken for items of a modality, in folders and archives: those that its loader reads.
SUFFIXES_OF: Mapping[Modality, frozenset[str]] = {
    Modality.IMAGE: IMAGE_SUFFIXES,
    Modality.TEXT: frozenset({"txt"}),
    Modality.AUDIO: frozenset(
        {"wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "wma", "aif", "aiff", "caf"}
        | {"w64", "au", "amr", "ac3", "wv", "ape", "tta"}
    ),
    Modality.VIDEO: frozenset(
        {"mp4", "m4v", "mov", "webm", "mkv", "avi", "gif", "mpg", "mpeg", "flv", "wmv", "ogv"}
        | {"3gp", "3g2"}
    ),
    Modality.POINTS: ARRAY_SUFFIXES | {"ply", "pcd", "pts", "xyz", "obj", "off", "stl"},
    Modality.DEPTH: ARRAY_SUFFIXES | {"png", "tif", "tiff", "exr"},
    Modality.THERMAL: IMAGE_SUFFIXES,
    Modality.IMU: ARRAY_SUFFIXES | {"csv"},
}
NOUN_OF: Mapping[Modality, str] = {  # for people: "5,000 sounds"
    Modality.IMAGE: "picture",
    Modality.TEXT: "text",
    Modality.AUDIO: "sound",
    Modality.VIDEO: "video",
    Modality.POINTS: "point cloud",
    Modality.DEPTH: "depth map",
    Modality.THERMAL: "thermal image",
    Modality.IMU: "motion recording",
}
MAX_SIDECAR_BYTES = 1 << 20  # of a caption or a JSON beside a medium


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Bytes of a file: a whole one, or a member of an archive."""

    file: str  # absolute path
    offset: int = 0  # bytes
    size: int | None = None  # bytes; None: to the end of the file


Media = Place | bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One input of a source."""

    key: str  # the source's name for it
    path: str  # shard member (00000.tar#000001.jpg) or file, from the source's root
    media: Media | None = None  # None when there is a problem
    problem: str = ""  # why it cannot be indexed, one line
    caption: str | None = None
    url: str | None = None
    extra: str | None = None  # JSON of every other field


class Source(Protocol):
    """A collection of media. The same input gives the same samples in the same order."""

    @property
    def kind(self) -> str:
        """As the user names it: webdataset, folder, ..."""
        ...

    @property
    def description(self) -> str:
        """What was found, for people."""
        ...

    @property
    def root(self) -> Path:
        """What ``Sample.path`` is relative to; absolute."""
        ...

    def files(self) -> Iterable[tuple[str, int]]:
        """Every file read, as its path from the root, with its size in bytes."""
        ...

    def estimate(self) -> int | None:
        """About how many samples there are, if that can be told without reading everything."""
        ...

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from number ``start`` on; those before are passed over cheaply."""
        ...


def sample_of(
    *, key: str, path: str, media: Media, caption: bytes | None, fields: bytes | None
) -> Sample:
    """A sample from its medium and the contents of the .txt and .json beside it.

    The caption is the text, else ``caption`` of the JSON; ``url`` is taken from the JSON, whose
    other fields are kept as they are. A sidecar that cannot be understood is a problem of the
    sample: indexing the medium without it would lose its caption unnoticed.
    """
    key, path = clean(key), clean(path)
    known: Mapping[str, object] = {}
    for content in (caption, fields):
        if content is not None and len(content) > MAX_SIDECAR_BYTES:
            problem = f"the text beside it has more than {MAX_SIDECAR_BYTES:,} bytes"
            return Sample(key=key, path=path, problem=problem)
    if fields is not None:
        try:
            known = json.loads(fields, parse_constant=lambda name: None)  # NaN is not JSON
        except (ValueError, RecursionError):
            return Sample(key=key, path=path, problem="the .json beside it is not JSON")
        if not isinstance(known, dict):
            return Sample(key=key, path=path, problem="the .json beside it is not a JSON object")
    rest = dict(known)
    text = rest.pop("caption") if caption is None and isinstance(rest.get("caption"), str) else None
    if caption is not None:
        text = caption.decode("utf-8-sig", "replace")
    url = rest.pop("url") if isinstance(rest.get("url"), str) else None
    return described(key=key, path=path, media=media, caption=text, url=url, fields=rest)


def described(
    *,
    key: str,
    path: str,
    media: Media,
    caption: object,
    url: object,
    fields: Mapping[str, object],
) -> Sample:
    """A sample from its medium and what is known of it; a blank caption or url counts as none."""
    extra = clean(json.dumps(fields, ensure_ascii=False, default=str)) if fields else None
    return Sample(
        key=key,
        path=path,
        media=media,
        caption=clean(caption).strip() or None if isinstance(caption, str) else None,
        url=clean(url).strip() or None if isinstance(url, str) else None,
        extra=extra,
    )


def clean(text: str) -> str:
    """Text that UTF-8 can hold: half a surrogate pair, or a byte of an odd file name, becomes �."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def count(n: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
