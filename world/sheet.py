"""Scenes as a contact sheet, with their ids and captions."""

from collections.abc import Sequence

from PIL import Image

from ..errors import UsageError
from ..sheet import MAX_CELLS, contact_sheet
from .captions import caption
from .render import render
from .scene import scene


def scene_sheet(ids: Sequence[int], *, size: int = 192, columns: int = 8) -> Image.Image:
    """Render scenes and lay them out with their ids and captions.

    Raises:
        UsageError: No ids, too many, or one that does not exist.
    """
    if not 0 < len(ids) <= MAX_CELLS:
        raise UsageError(f"asked for {len(ids)} scenes; a sheet shows 1 to {MAX_CELLS}")
    scenes = [scene(i) for i in ids]
    images = [render(of, size).image for of in scenes]
    labels = [f"{of.id}\n{caption(of)}" for of in scenes]
    return contact_sheet(images, labels, columns=columns, cell=size)
