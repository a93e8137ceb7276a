"""AnyBind: an encoder and an index, together.

What a person does with the parts: embed media, and search an index with them. The command line
and every other front call this class and add nothing of their own.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np

from .encoders.encoder import PRESETS, Encoder, load_encoder
from .encoders.modality import Modality, Vectors
from .errors import IndexFolderError, UsageError
from .index.search import Index


class Media(TypedDict, total=False):
    """What a person hands over: an item, or a list of items, named by its modality."""

    image: object
    text: object
    audio: object
    video: object
    points: object
    depth: object
    thermal: object
    imu: object


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One neighbour of a query."""

    id: int  # row of the index, from 0
    score: float  # cosine similarity to the query, -1 to 1
    key: str  # the item's name in its source
    caption: str | None
    url: str | None
    image_path: str | None  # file, or archive#member, relative to the source's root
    width: int  # of the original picture, pixels
    height: int


class AnyBind:
    """Embed media, and search an index with them. Safe to call from many threads.

    Args:
        encoder: What turns media into vectors.
        index: What is searched; without one, only :meth:`embed` works.
    """

    def __init__(self, encoder: Encoder, index: Index | None = None) -> None:
        self.encoder = encoder
        self._index = index

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            UsageError: None was opened.
        """
        if self._index is None:
            raise UsageError("no index is open; name its folder: anybind.load('indices/demo')")
        return self._index

    def embed(
        self,
        *,
        scaled: bool = False,
        batch_size: int | None = None,
        progress: bool | None = None,
        **media: Unpack[Media],
    ) -> Vectors:
        """Embed one item, or a list of items, of one modality.

        Args:
            media: The modality by name, with the item: ``text="a dog"``, ``image="dog.jpg"``. Texts
                are strings; the rest are paths, bytes, file objects, or arrays as the modality's
                preprocessor documents them. A list or tuple is a batch.
            scaled: ImageBind's own scale instead of unit length.
            batch_size: Items encoded at once; chosen by the encoder if not given.
            progress: A bar on stderr; by default for several batches, on a terminal.

        Returns:
            float32 ``(dim,)`` for one item, ``(n, dim)`` for a list; unit rows.

        Raises:
            UsageError: Not exactly one modality, one that the encoder lacks, or an empty text.
            MediaError: An item cannot be read.
        """
        modality, value = _only(media)
        items: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        if modality is Modality.TEXT:
            _check_texts(items)
        several = len(items) > (batch_size or self.encoder.batch_size(modality))
        vectors = self.encoder.encode(
            modality,
            items,
            batch_size=batch_size,
            scaled=scaled,
            progress=several and sys.stderr.isatty() if progress is None else progress,
        )
        return vectors if items is value else vectors[0]

    def search(
        self,
        *,
        k: int = 10,
        id: int | None = None,
        embedding: Vectors | None = None,
        **media: Unpack[Media],
    ) -> list[Hit]:
        """Find the items of the index nearest to one query.

        Args:
            k: Neighbours to return, at most the size of the index.
            media: The query, one item, as :meth:`embed` takes it; or
            id: an item of the index; or
            embedding: a vector ``(dim,)`` of this encoder's space, of any length but zero.

        Returns:
            ``k`` hits, best first.

        Raises:
            UsageError: Not exactly one query, ``k`` or ``id`` outside the index, or no index open.
            MediaError: The query cannot be read.
        """
        given = [name for name, value in media.items() if value is not None]
        given += ["id"] * (id is not None) + ["embedding"] * (embedding is not None)
        if len(given) != 1:
            raise UsageError(
                f"a search takes one query, and got {' and '.join(given) or 'none'}; "
                f"give one of {', '.join(Modality)}, id, embedding"
            )
        index = self.index
        if id is not None:
            query = index.vectors([id])
        elif embedding is not None:
            query = _unit(embedding, self.encoder.dim)
        else:
            query = self.embed(**media)
            if query.ndim != 1:
                raise UsageError("search takes one query at a time; call it once for each")
            query = query[None]
        found = index.search(query, k)
        rows = index.rows(found.ids[0])
        return [
            Hit(
                id=row.id,
                score=float(score),
                key=row.key,
                caption=row.caption,
                url=row.url,
                image_path=row.image_path,
                width=row.width,
                height=row.height,
            )
            for score, row in zip(found.scores[0], rows, strict=True)
        ]


def load(
    folder: str | os.PathLike[str] | None = None,
    *,
    encoder: str | os.PathLike[str] | Encoder | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> AnyBind:
    """Open an index folder together with the encoder that built it.

    Args:
        folder: An index folder; ``None`` opens an encoder alone.
        encoder: A preset, a weight file or an open encoder; by default the one in the manifest
            (``imagebind-mini`` without a folder).
        weights: The encoder's weight file, if it lies elsewhere than the preset says.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        IndexFolderError: The folder is no finished index, or another encoder built it.
        UsageError: No such encoder.
    """
    index = None if folder is None else Index.open(folder)
    if not isinstance(encoder, Encoder):
        if encoder is None and index is not None:
            encoder = index.manifest.encoder.name
            if encoder not in PRESETS and weights is None and not os.path.isfile(encoder):
                raise IndexFolderError(
                    f"{folder} was built by the encoder {encoder}, which is no preset and no file "
                    "here; name its weight file with encoder="
                )
        encoder = load_encoder(
            encoder or "imagebind-mini",
            weights=weights,
            device=device,
            precision=precision,
            reference=index is not None and index.manifest.encoder.reference,
        )
    if index is not None:
        index.check_encoder(encoder)
    return AnyBind(encoder, index)


def _only(media: Media) -> tuple[Modality, object]:
    """The one modality that was given, with its value."""
    unknown = [name for name in media if name not in Modality.__members__.values()]
    if unknown:
        raise TypeError(f"unexpected keyword {unknown[0]!r}; modalities are {', '.join(Modality)}")
    given = {name: value for name, value in media.items() if value is not None}
    if len(given) != 1:
        raise UsageError(
            f"embed takes one modality, and got {' and '.join(given) or 'none'}; "
            f"give one of {', '.join(Modality)}"
        )
    name, value = given.popitem()
    return Modality(name), value


def _check_texts(texts: Sequence[object]) -> None:
    """Refuse what has no meaning: an empty text, or something that is no text."""
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"text is a {type(text).__name__}; give a string")
        if not text.strip():
            raise UsageError("the text is empty; say what to look for")


def _unit(embedding: Vectors, dim: int) -> Vectors:
    """``embedding`` as one unit row ``(1, dim)``."""
    row = np.asarray(embedding, dtype=np.float32).reshape(1, -1)
    if row.shape[1] != dim:
        raise UsageError(f"the embedding has {row.shape[1]} numbers; this index has {dim}")
    length = float(np.linalg.norm(row))
    if not np.isfinite(length) or length == 0:
        raise UsageError("the embedding is zero or not finite; it has no direction")
    return row / np.float32(length)
