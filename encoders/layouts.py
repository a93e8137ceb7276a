"""The names of ImageBind's tensors: ours, and those in the files others published.

One table of name pairs serves both directions. A name holds at most one number, that of a block,
which stands as ``{i}`` in the table; a tensor's last component is spelled out for each of the
``weight|bias`` alternatives. Two kinds of entries in published files have no counterpart here and
are skipped: text's causal mask, which attention applies by itself, and the temperature with which
Point-Bind was trained.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from .modality import Tower


class Layout(StrEnum):
    """Whose names a weight file uses."""

    ANYBIND = "anybind"  # ours
    IMAGEBIND = "imagebind"  # imagebind_huge.pth; with the point encoder, imagebind_w3D.pth
    POINT_BIND = "point-bind"  # Point-Bind's own checkpoints: ImageBind under ``bind.``


# (towers, published name, our name after ``towers.{tower}.``); ``{t}``: the published tower name
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("vision audio depth thermal imu", "modality_preprocessors.{t}.cls_token", "stem.cls"),
    ("vision", "modality_preprocessors.{t}.rgbt_stem.proj.1.weight", "stem.proj.weight"),
    ("audio thermal", "modality_preprocessors.{t}.rgbt_stem.proj.weight", "stem.proj.weight"),
    ("depth", "modality_preprocessors.{t}.depth_stem.proj.weight", "stem.proj.weight"),
    ("imu", "modality_preprocessors.{t}.imu_stem.proj.weight", "stem.proj.weight"),
    (
        "audio thermal",
        "modality_preprocessors.{t}.rgbt_stem.norm_layer.weight|bias",
        "stem.norm.weight|bias",
    ),
    (
        "depth",
        "modality_preprocessors.{t}.depth_stem.norm_layer.weight|bias",
        "stem.norm.weight|bias",
    ),
    ("imu", "modality_preprocessors.{t}.imu_stem.norm_layer.weight|bias", "stem.norm.weight|bias"),
    ("text", "modality_preprocessors.{t}.token_embedding.weight", "stem.tokens.weight"),
    (
        "vision audio depth thermal",
        "modality_preprocessors.{t}.pos_embedding_helper.pos_embed",
        "stem.position",
    ),
    ("text imu", "modality_preprocessors.{t}.pos_embed", "stem.position"),
    ("vision", "modality_trunks.{t}.pre_transformer_layer.0.weight|bias", "input_norm.weight|bias"),
    *(
        (
            "vision text audio depth thermal imu",
            f"modality_trunks.{{t}}.blocks.{{i}}.{published}",
            f"blocks.{{i}}.{ours}",
        )
        for published, ours in (
            ("norm_1.weight|bias", "norm_1.weight|bias"),
            ("attn.in_proj_weight", "attn.qkv.weight"),
            ("attn.in_proj_bias", "attn.qkv.bias"),
            ("attn.bias_k", "attn.bias_k"),
            ("attn.bias_v", "attn.bias_v"),
            ("attn.out_proj.weight|bias", "attn.out.weight|bias"),
            ("norm_2.weight|bias", "norm_2.weight|bias"),
            ("mlp.fc1.weight|bias", "mlp.fc1.weight|bias"),
            ("mlp.fc2.weight|bias", "mlp.fc2.weight|bias"),
        )
    ),
    (
        "vision audio depth thermal imu points",
        "modality_heads.{t}.0.weight|bias",
        "head.norm.weight|bias",
    ),
    ("vision audio depth thermal points", "modality_heads.{t}.2.weight", "head.proj.weight"),
    ("imu", "modality_heads.{t}.3.weight", "head.proj.weight"),
    ("text", "modality_heads.{t}.proj.0.weight|bias", "head.norm.weight|bias"),
    ("text", "modality_heads.{t}.proj.1.weight", "head.proj.weight"),
    (
        "text audio depth thermal imu points",
        "modality_postprocessors.{t}.1.log_logit_scale",
        "log_scale",
    ),
    ("points", "point_trunk.pc_projection", "projection"),
    *(
        ("points", f"point_trunk.point_encoder.{published}", ours)
        for published, ours in (
            ("cls_token", "cls"),
            ("cls_pos", "cls_position"),
            ("reduce_dim.weight|bias", "reduce.weight|bias"),
            ("pos_embed.0.weight|bias", "position.0.weight|bias"),
            ("pos_embed.2.weight|bias", "position.2.weight|bias"),
            ("norm.weight|bias", "norm.weight|bias"),
            ("blocks.blocks.{i}.norm1.weight|bias", "blocks.{i}.norm_1.weight|bias"),
            ("blocks.blocks.{i}.norm2.weight|bias", "blocks.{i}.norm_2.weight|bias"),
            ("blocks.blocks.{i}.attn.qkv.weight", "blocks.{i}.attn.qkv.weight"),
            ("blocks.blocks.{i}.attn.proj.weight|bias", "blocks.{i}.attn.out.weight|bias"),
            ("blocks.blocks.{i}.mlp.fc1.weight|bias", "blocks.{i}.mlp.fc1.weight|bias"),
            ("blocks.blocks.{i}.mlp.fc2.weight|bias", "blocks.{i}.mlp.fc2.weight|bias"),
        )
    ),
    *(
        (
            "points",
            f"point_trunk.point_encoder.encoder.{stage}_conv.{layer}.{parts}",
            f"groups.{stage}.{layer}.{parts}",
        )
        for stage in ("first", "second")
        for layer, parts in (
            ("0", "weight|bias"),
            ("1", "weight|bias|running_mean|running_var|num_batches_tracked"),
            ("3", "weight|bias"),
        )
    ),
)

# Prefixes of Point-Bind's own files and the published ones they stand for; the first that fits wins
_POINT_BIND: tuple[tuple[str, str], ...] = (
    ("point_encoder.", "point_trunk.point_encoder."),
    ("pc_projection", "point_trunk.pc_projection"),
    ("bind.modality_head_point.", "modality_heads.point."),
    ("bind.modality_postprocessor_point.", "modality_postprocessors.point."),
    ("bind.", ""),
)

_SKIPPED = {
    Layout.ANYBIND: frozenset[str](),
    Layout.IMAGEBIND: frozenset({"modality_preprocessors.text.mask"}),
    Layout.POINT_BIND: frozenset({"bind.modality_preprocessors.text.mask", "logit_scale"}),
}


def _spell(name: str) -> list[str]:
    """``a.weight|bias`` -> ``a.weight``, ``a.bias``."""
    first, *others = name.split("|")
    stem = first.rpartition(".")[0]
    return [first, *(f"{stem}.{other}" for other in others)]


def _published_tower(tower: Tower) -> str:
    return "point" if tower is Tower.POINTS else tower.value


NAMES: dict[str, str] = {
    f"towers.{tower}.{our_end}": their_name.replace("{t}", _published_tower(tower))
    for towers, theirs, ours in _ROWS
    for tower in map(Tower, towers.split())
    for their_name, our_end in zip(_spell(theirs), _spell(ours), strict=True)
}  # ours -> published
_OURS = {published: ours for ours, published in NAMES.items()}


def _split(name: str) -> tuple[str, str]:
    """A name with its block number replaced by ``{i}``, and that number (or nothing)."""
    found = re.search(r"(?<=\.blocks\.)\d+(?=\.)", name)
    if found is None:
        return name, ""
    return f"{name[: found.start()]}{{i}}{name[found.end() :]}", found.group()


def to_published(name: str, layout: Layout = Layout.IMAGEBIND) -> str:
    """The name that one of our tensors has in a file of another layout.

    Raises:
        KeyError: No tensor of ours has this name.
    """
    if layout is Layout.ANYBIND:
        return name
    template, number = _split(name)
    published = NAMES[template].replace("{i}", number)
    if layout is Layout.POINT_BIND:
        prefix, ours = next(row for row in _POINT_BIND if published.startswith(row[1]))
        published = prefix + published.removeprefix(ours)
    return published


def from_published(name: str, layout: Layout = Layout.IMAGEBIND) -> str | None:
    """Our name of a tensor in a file, or ``None`` when nothing of ours corresponds to it."""
    if layout is Layout.ANYBIND:
        return name
    template, number = _split(_imagebind_name(name, layout))
    ours = _OURS.get(template)
    return None if ours is None else ours.replace("{i}", number)


def is_skipped(name: str, layout: Layout) -> bool:
    """Whether a tensor of a file is known and not needed."""
    return name in _SKIPPED[layout]


def tower_of(name: str, layout: Layout) -> Tower | None:
    """The tower a tensor in a file belongs to, also when its name is not in the table."""
    kind, _, rest = _imagebind_name(name, layout).partition(".")
    if kind == "point_trunk":
        return Tower.POINTS
    if kind == "towers" or kind.startswith("modality_"):
        published = rest.partition(".")[0]
        for tower in Tower:
            if published in (tower.value, _published_tower(tower)):
                return tower
    return None


def layout_of(names: Iterable[str]) -> Layout | None:
    """The layout of a file, from the names in it; ``None`` when it is no file of ImageBind."""
    first = {name.partition(".")[0] for name in names}
    if "towers" in first:
        return Layout.ANYBIND
    if first & {"bind", "point_encoder"}:
        return Layout.POINT_BIND
    if first & {"modality_preprocessors", "modality_trunks", "modality_heads", "point_trunk"}:
        return Layout.IMAGEBIND
    return None


def _imagebind_name(name: str, layout: Layout) -> str:
    """A name in a file of any published layout, as ``Layout.IMAGEBIND`` has it."""
    if layout is Layout.POINT_BIND:
        for prefix, published in _POINT_BIND:
            if name.startswith(prefix):
                return published + name.removeprefix(prefix)
    return name
