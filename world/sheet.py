"""Scenes as a contact sheet, in any modality, with their ids and captions."""

from collections.abc import Sequence

from PIL import Image

from ..drawings import draw
from ..encoders.modality import Modality
from ..errors import UsageError
from ..sheet import MAX_CELLS, Picture, contact_sheet
from .captions import caption
from .media import medium
from .render import render
from .scene import Scene, scene


def scene_sheet(
    ids: Sequence[int],
    *,
    modality: str = Modality.IMAGE,
    size: int = 192,
    columns: int = 8,
) -> Image.Image:
    """Lay scenes out with their ids and captions.

    Args:
        ids: Of the scenes.
        modality: How to show them: images are rendered; sounds, clouds and the like are drawn.
        size: px a side of a cell.
        columns: Cells a row.

    Raises:
        UsageError: No ids, too many, or one that does not exist; no such modality.
    """
    if not 0 < len(ids) <= MAX_CELLS:
        raise UsageError(f"asked for {len(ids)} scenes; a sheet shows 1 to {MAX_CELLS}")
    if modality not in list(Modality):
        raise UsageError(f"cannot show {modality}; scenes are shown as {', '.join(Modality)}")
    scenes = [scene(i) for i in ids]
    pictures = [_picture(of, Modality(modality), size) for of in scenes]
    labels = [f"{of.id}\n{caption(of)}" for of in scenes]
    return contact_sheet(pictures, labels, columns=columns, cell=size)


def _picture(of: Scene, modality: Modality, size: int) -> Picture:
    """Show one scene."""
    if modality is Modality.IMAGE:
        return render(of, size).image
    return draw(modality, medium(modality, of, size), size)
