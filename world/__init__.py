"""A small simulated world whose scenes have an image, captions and a depth map.

Every scene is a pure function of its integer id: the mini models are trained and measured on it,
and it supplies tests, demonstrations and benchmarks with as much data as they ask for.
"""

from .captions import Caption, caption, captions
from .categories import CATEGORIES, CATEGORY_NAMES, Category
from .colours import COLOUR_NAMES, COLOURS, Colour
from .render import Rendering, iter_images, render, render_batch
from .scene import Place, Relation, Scene, SceneObject, scene
from .splits import SPLITS, is_held_out, split_ids, split_of

__all__ = [
    "CATEGORIES",
    "CATEGORY_NAMES",
    "COLOURS",
    "COLOUR_NAMES",
    "SPLITS",
    "Caption",
    "Category",
    "Colour",
    "Place",
    "Relation",
    "Rendering",
    "Scene",
    "SceneObject",
    "caption",
    "captions",
    "is_held_out",
    "iter_images",
    "render",
    "render_batch",
    "scene",
    "split_ids",
    "split_of",
]
