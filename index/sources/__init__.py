"""Sources: where the items of an index come from.

``KINDS`` names them. Every one reads local files and yields :class:`.base.Sample` in a fixed order;
a kind's own libraries are imported when it is opened.
"""

from collections.abc import Sequence
from pathlib import Path

from ...encoders.modality import Modality
from ...errors import UsageError
from .base import NOUN_OF, Source

KINDS = {
    "cc3m": "Conceptual Captions 3M: its .tsv beside pictures, img2dataset's output, or tar files",
    "webdataset": "tar files of media (.jpg, .wav, ...), .txt and .json members",
    "parquet": "tables with a column of media, or of their paths",
    "folder": "media in folders, with .txt or .json beside them",
    "world": "scenes of the simulated world, rendered on the way",
}


def open_source(
    kind: str,
    inputs: Sequence[str],
    *,
    modality: Modality = Modality.IMAGE,
    out: Path,
    limit: int | None,
    progress: bool = False,
) -> Source:
    """Open a collection.

    Args:
        kind: One of ``KINDS``.
        inputs: Paths, globs and braces; for the world the name of a split.
        modality: What its items are.
        out: The index folder: what has to be made first is made there.
        limit: How many samples will be read at most.
        progress: Show a bar on stderr if something has to be made first.

    Raises:
        UsageError: No such kind, or the inputs do not hold it.
    """
    if kind == "webdataset":
        from .webdataset import open_webdataset

        return open_webdataset(inputs, modality)
    if kind == "folder":
        from .folder import open_folder

        return open_folder(inputs, modality)
    if kind == "parquet":
        from .parquet import open_parquet

        return open_parquet(inputs, modality)
    if kind == "cc3m":
        if modality is not Modality.IMAGE:
            raise UsageError(
                f"cc3m is a collection of pictures; for an index of {NOUN_OF[modality]}s use "
                "another source: webdataset, parquet, folder or world"
            )
        from .cc3m import open_cc3m

        return open_cc3m(inputs)
    if kind == "world":
        from .world import open_world

        return open_world(inputs, modality, out=out, limit=limit, progress=progress)
    raise UsageError(f"source {kind!r} is unknown; there are {', '.join(KINDS)}")
