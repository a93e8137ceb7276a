"""Scenes of the simulated world, rendered when the index is built.

They are written once as webdataset shards beside the index, in ``source/``, and read from there, so
building from the world takes the same way as any other collection.
"""

from collections.abc import Sequence
from pathlib import Path

from ...encoders.modality import Modality
from ...errors import UsageError
from ...world.export import export_webdataset
from ...world.splits import SPLITS
from .inputs import find_files
from .webdataset import TAR_SUFFIXES, WebDataset

FOLDER = "source"  # of the index folder


def open_world(
    inputs: Sequence[str], modality: Modality, *, out: Path, limit: int | None, progress: bool
) -> WebDataset:
    """The first ``limit`` scenes of a split.

    Args:
        inputs: The name of a split; test if none is given.
        modality: What is rendered of each scene.
        out: The index folder.
        limit: Scenes; there are millions, so it has to be said.
        progress: Show a bar on stderr while they are rendered.

    Raises:
        UsageError: No such split, or no limit.
    """
    split = inputs[0] if inputs else "test"
    if len(inputs) > 1 or split not in SPLITS:
        raise UsageError(
            f"--input {' '.join(inputs)} names no split of the world; give one of "
            f"{', '.join(SPLITS)}"
        )
    if limit is None:
        raise UsageError("how many scenes of the world? say so with --limit, for example 5000")
    made = Modality.IMAGE if modality is Modality.TEXT else modality  # captions are in all shards
    name = f"{split}-{limit}" if made is Modality.IMAGE else f"{split}-{limit}-{made}"
    tars = export_webdataset(out / FOLDER / name, split, limit, modality=made, progress=progress)
    found = find_files([str(tar) for tar in tars], TAR_SUFFIXES, what="rendered scenes")
    return WebDataset(found, modality, kind="world", description=f"{limit:,} scenes of {split}")
