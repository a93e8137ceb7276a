"""A small simulated world whose scenes have every modality.

Every scene is a pure function of its integer id: the mini models are trained and measured on it,
and it supplies tests, demonstrations and benchmarks with as much data as they ask for.
"""

from .captions import Caption, caption, captions
from .categories import CATEGORIES, CATEGORY_NAMES, Category
from .cloud import cloud
from .colours import COLOUR_NAMES, COLOURS, Colour
from .heat import thermal
from .motion import MOTION_OF, MOTIONS, imu
from .render import Rendering, boxes, iter_images, render, render_batch
from .scene import Place, Relation, Scene, SceneObject, scene
from .sound import sound
from .splits import SPLITS, is_held_out, split_ids, split_of
from .video import frames, write_video

__all__ = [
    "CATEGORIES",
    "CATEGORY_NAMES",
    "COLOURS",
    "COLOUR_NAMES",
    "MOTIONS",
    "MOTION_OF",
    "SPLITS",
    "Caption",
    "Category",
    "Colour",
    "Place",
    "Relation",
    "Rendering",
    "Scene",
    "SceneObject",
    "boxes",
    "caption",
    "captions",
    "cloud",
    "frames",
    "imu",
    "is_held_out",
    "iter_images",
    "render",
    "render_batch",
    "scene",
    "sound",
    "split_ids",
    "split_of",
    "thermal",
    "write_video",
]
