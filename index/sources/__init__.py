"""Sources: where the items of an index come from.

``KINDS`` names them. Every one reads local files and yields :class:`.base.Sample` in a fixed order;
a kind's own libraries are imported when it is opened.
"""

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from .base import Source

KINDS = {
    "cc3m": "Conceptual Captions 3M: its .tsv beside pictures, img2dataset's output, or tar files",
    "webdataset": "tar files of .jpg, .txt and .json members",
    "parquet": "tables with a column of pictures, or of their paths",
    "folder": "pictures in folders, with .txt or .json beside them",
    "world": "scenes of the simulated world, rendered on the way",
}


def open_source(
    kind: str, inputs: Sequence[str], *, out: Path, limit: int | None, progress: bool = False
) -> Source:
    """Open a collection.

    Args:
        kind: One of ``KINDS``.
        inputs: Paths, globs and braces; for the world the name of a split.
        out: The index folder: what has to be made first is made there.
        limit: How many samples will be read at most.
        progress: Show a bar on stderr if something has to be made first.

    Raises:
        UsageError: No such kind, or the inputs do not hold it.
    """
    if kind == "webdataset":
        from .webdataset import open_webdataset

        return open_webdataset(inputs)
    if kind == "folder":
        from .folder import open_folder

        return open_folder(inputs)
    if kind == "parquet":
        from .parquet import open_parquet

        return open_parquet(inputs)
    if kind == "cc3m":
        from .cc3m import open_cc3m

        return open_cc3m(inputs)
    if kind == "world":
        from .world import open_world

        return open_world(inputs, out=out, limit=limit, progress=progress)
    raise UsageError(f"source {kind!r} is unknown; there are {', '.join(KINDS)}")
