"""What commands print and draw."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.modality import Modality
from ..errors import UsageError
from ..parts import ID

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..pipeline import AnyBind, Hit, Input, Mixture


def mixture_facts(query: "Mixture") -> dict[str, object]:
    """A mixture for JSON: its vector stays out, and so does a cache that was not used."""
    facts = {name: value for name, value in vars(query).items() if name != "vector"}
    citations = [vars(citation) for citation in facts.pop("citations")]
    return {**facts, "citations": citations} if citations else facts


def save_sheet(
    ab: "AnyBind",
    inputs: Sequence["Input"],
    hits: Sequence["Hit"],
    figures: Sequence[str],
    path: Path,
) -> None:
    """What was asked with, each input drawn, beside the pictures of what was found.

    Each of those has a figure above its caption.
    """
    import io

    from PIL import Image

    from ..drawings import draw
    from ..sheet import Query, search_sheet

    def thumbnail(item: int) -> Image.Image:
        picture = ab.index.thumbnail(item)
        if picture is None:
            raise UsageError(
                f"{ab.folder} was built without thumbnails, so there is nothing to draw; "
                "leave out the contact sheet, or build it again without --no-thumbnails"
            )
        return Image.open(io.BytesIO(picture))

    queries: list[Query] = []
    for part in inputs:
        name, value, weight = part.modality, part.value, part.weight
        if name == ID:
            picture = thumbnail(int(str(value)))
        else:
            picture = draw(Modality(name), value, depth_scale=ab.encoder.depth_scale)
        label = f"minus {name}" if weight < 0 else name
        if abs(weight) != 1:
            label += f", weight {abs(weight):g}"
        if name != Modality.TEXT:
            label += f"\n{Path(str(value)).name}"
        queries.append(Query(picture=picture, label=label, weight=weight))
    sheet = search_sheet(
        queries,
        [thumbnail(hit.id) for hit in hits],
        [
            f"{n}.  {figure}\n{hit.caption or hit.key}"
            for n, (hit, figure) in enumerate(zip(hits, figures, strict=True), 1)
        ],
    )
    save_picture(sheet, path)


def save_picture(picture: "Image", path: Path) -> None:
    """Write a picture in the format that its name says."""
    from ..files import atomic_path

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if path.suffix.lower() not in formats:
        raise UsageError(f"cannot draw {path}: its name should end in {', '.join(formats)}")
    with atomic_path(path) as part:
        picture.save(part, format=formats[path.suffix.lower()])


def print_json(value: object) -> None:
    """One object, on one line."""
    print(json.dumps(value, ensure_ascii=False))


def print_facts(facts: Mapping[str, object], indent: int = 0) -> None:
    """Nested facts as aligned ``name  value`` lines."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            print(f"{'':{indent}}{name}")
            print_facts(value, indent + 2)
        else:
            print(f"{'':{indent}}{name:<{width}}  {value}")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: int) -> None:
    """A table as wide as the terminal allows; the first ``right`` columns are right-aligned."""
    import shutil

    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    room = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else sum(widths) + 99
    caption = len(head) - 2  # the column that gives way
    spare = room - sum(widths) - 2 * (len(head) - 1)
    widths[caption] = max(16, widths[caption] + min(0, spare))
    for row in [head, *rows]:
        cells = [
            cell[: widths[i] - 1] + "…" if len(cell) > widths[i] else cell
            for i, cell in enumerate(row)
        ]
        print(
            "  ".join(
                f"{cell:>{widths[i]}}" if i < right else f"{cell:<{widths[i]}}"
                for i, cell in enumerate(cells)
            ).rstrip()
        )
