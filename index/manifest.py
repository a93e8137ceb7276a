"""manifest.json: what an index folder is, and which of its files count.

A shard or a generation exists once the manifest lists it. The manifest is replaced atomically and
last, so whatever lies in the folder without being listed is a leftover that the next run replaces.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Self

from ..encoders.modality import Modality
from ..errors import IndexFolderError
from ..files import write_atomically
from .layout import MANIFEST
from .protocols import EncoderFacts

FORMAT = 1  # raised when an older anybind could no longer read the folder

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, kw_only=True)
class EncoderId:
    """Which encoder made the vectors."""

    name: str  # preset or weight file
    fingerprint: str  # sha256:... of weights, configuration and preparation
    dim: int  # floats a vector
    reference: bool  # media prepared exactly as the published code does

    @classmethod
    def of(cls, encoder: EncoderFacts) -> Self:
        """The identity of a live encoder."""
        return cls(
            name=encoder.name,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            reference=encoder.reference,
        )

    def __str__(self) -> str:
        """For messages: everything that may differ."""
        style = ", reference" if self.reference else ""
        return f"{self.name} ({self.fingerprint[:19]}…, dim {self.dim}{style})"


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """Where the items came from."""

    kind: str  # webdataset, folder, parquet, cc3m, world
    input: tuple[str, ...]  # as the user gave them
    root: str | None = None  # what image_path is relative to: from the index folder, or absolute


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Every item of the source is in exactly one of the last two."""

    input: int = 0
    indexed: int = 0
    corrupt: int = 0


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One complete shard: consecutive inputs of the source."""

    embeddings: str  # .npy, float16 (rows, dim)
    metadata: str  # .parquet, one row a vector
    rows: int  # items indexed
    inputs: int  # items of the source this shard accounts for: rows, and those skipped
    sha256: tuple[str, ...]  # of embeddings, metadata and, when there are any, thumbnails
    thumbnails: str | None = None  # .tar of WebP

    def __post_init__(self) -> None:
        for path in self.files:
            check_relative(path)
        if len(self.sha256) != len(self.files):
            raise ValueError(f"{len(self.sha256)} checksums for {len(self.files)} files")

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the shard, in the order of ``sha256``."""
        extra = () if self.thumbnails is None else (self.thumbnails,)
        return (self.embeddings, self.metadata, *extra)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The FAISS index that is searched."""

    number: int  # from 1
    index: str  # the FAISS file
    factory: str  # FAISS's index_factory string
    search: Mapping[str, int] = field(default_factory=dict[str, int])  # e.g. nprobe
    recall_at_10: float  # against exact search; of the query modality that fares worst
    sha256: str  # of the FAISS file
    bytes: int  # its size

    def __post_init__(self) -> None:
        check_relative(self.index)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An index folder, as ``manifest.json`` tells it."""

    modality: str  # of the indexed items
    encoder: EncoderId
    source: SourceInfo
    settings: Mapping[str, Json] = field(default_factory=dict[str, Json])  # must match to resume
    counts: Counts = field(default_factory=Counts)
    shards: tuple[ShardEntry, ...] = ()
    state: str = "building"  # or "complete"
    generation: Generation | None = None
    centres: Mapping[str, tuple[float, ...]] = field(  # mean vector by modality, to centre queries
        default_factory=dict[str, tuple[float, ...]]
    )
    created: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    anybind: str = field(default_factory=lambda: version("anybind"))

    def with_shard(self, entry: ShardEntry) -> "Manifest":
        """The manifest once ``entry`` is complete."""
        counts = Counts(
            input=self.counts.input + entry.inputs,
            indexed=self.counts.indexed + entry.rows,
            corrupt=self.counts.corrupt + entry.inputs - entry.rows,
        )
        return replace(self, shards=(*self.shards, entry), counts=counts)

    def save(self, folder: Path) -> None:
        """Replace the manifest of ``folder``; raises as :func:`.files.atomic_path`."""
        facts = {"format": FORMAT, **asdict(self)}
        facts["shards"] = [
            {key: value for key, value in shard.items() if value is not None}
            for shard in facts["shards"]
        ]
        centres = json.dumps(facts.pop("centres"))  # on one line: thousands of numbers
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        text = f'{text.removesuffix("}").rstrip()},\n "centres": {centres}\n}}\n'
        write_atomically(folder / MANIFEST, text.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the manifest of an index folder, finished or not.

        Keys of a later anybind that this one does not know are passed over; a later *format* is
        refused.

        Raises:
            IndexFolderError: There is no folder, no manifest, or it cannot be understood.
        """
        path = folder / MANIFEST
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            what = (
                "there is no manifest.json in it" if folder.is_dir() else "there is no such folder"
            )
            raise IndexFolderError(
                f"no index at {folder}: {what}; build one with: build-index ... --out {folder}"
            ) from None
        except NotADirectoryError:
            raise IndexFolderError(
                f"no index at {folder}: it is a file; name the folder that build-index wrote"
            ) from None
        except OSError as error:
            raise IndexFolderError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise IndexFolderError(
                f"{path} is damaged ({error}); restore it or build the index again with --restart"
            ) from error
        try:
            if facts["format"] > FORMAT:
                raise IndexFolderError(
                    f"{folder} has index format {facts['format']}, this anybind reads up to "
                    f"{FORMAT}; it was built by anybind {facts.get('anybind', '?')}, upgrade to it"
                )
            return cls._from_dict(facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IndexFolderError(
                f"{path} is not a manifest of anybind ({type(error).__name__}: {error}); "
                "restore it or build the index again with --restart"
            ) from error

    @classmethod
    def _from_dict(cls, facts: Mapping[str, Any]) -> Self:
        generation = facts["generation"]
        return cls(
            modality=str(Modality(facts["modality"])),
            encoder=EncoderId(**_known(EncoderId, facts["encoder"])),
            source=SourceInfo(
                **{**_known(SourceInfo, facts["source"]), "input": tuple(facts["source"]["input"])}
            ),
            settings=facts["settings"],
            counts=Counts(**_known(Counts, facts["counts"])),
            shards=tuple(
                ShardEntry(**{**_known(ShardEntry, shard), "sha256": tuple(shard["sha256"])})
                for shard in facts["shards"]
            ),
            state=facts["state"],
            generation=None if generation is None else Generation(**_known(Generation, generation)),
            centres={
                str(Modality(name)): tuple(map(float, centre))
                for name, centre in facts.get("centres", {}).items()
            },
            created=facts["created"],
            anybind=facts["anybind"],
        )

    def check_encoder(self, folder: Path, encoder: EncoderFacts) -> None:
        """Refuse an encoder other than the one that built the folder.

        The fingerprint decides; a weight file may go by another path on another machine.

        Raises:
            IndexFolderError: Weights, configuration or preparation differ.
        """
        given = EncoderId.of(encoder)
        if (given.fingerprint, given.dim) != (self.encoder.fingerprint, self.encoder.dim):
            raise IndexFolderError(
                f"{folder} was built by encoder {self.encoder}, asked to use it with {given}; "
                "vectors of different encoders do not compare: use the first, or build another "
                "index"
            )


def check_relative(path: str) -> None:
    """Refuse a path that leaves the index folder: a manifest may come from anywhere."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\\" in path:
        raise ValueError(f"{path!r} is not a path inside the index folder")


def _known(kind: type, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of ``facts`` that are fields of a dataclass."""
    names = {item.name for item in fields(kind)}
    return {key: value for key, value in facts.items() if key in names}
