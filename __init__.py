"""anybind: any media to one vector, and from there to neighbours.

``import anybind`` is light: neither torch nor FAISS is imported until something is loaded.

>>> import anybind
>>> anybind.Modality("audio")
<Modality.AUDIO: 'audio'>
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answers import Answer, AnswerStream, Chat
    from .client import AsyncClient, Client
    from .encoders.encoder import Encoder, load_encoder
    from .encoders.media import Frames, Motion, Waveform
    from .encoders.modality import Modality
    from .errors import (
        AnyBindError,
        DownloadError,
        IndexFolderError,
        MediaError,
        Overloaded,
        UsageError,
        WeightsError,
    )
    from .index.cache import Cache
    from .index.mixing import MIXINGS, Mixing, mean, mix, slerp
    from .index.pipeline import BuildOptions, build_index
    from .llm.config import Generation
    from .llm.model import LanguageModel, load_language_model
    from .pipeline import AnyBind, Citation, Hit, Input, Mixture, load

_WHERE = {  # public name -> module that defines it, imported when the name is first used
    "Answer": "answers",
    "AnswerStream": "answers",
    "AnyBind": "pipeline",
    "AnyBindError": "errors",
    "AsyncClient": "client",
    "BuildOptions": "index.pipeline",
    "Cache": "index.cache",
    "Chat": "answers",
    "Citation": "pipeline",
    "Client": "client",
    "DownloadError": "errors",
    "Encoder": "encoders.encoder",
    "Frames": "encoders.media",
    "Generation": "llm.config",
    "Hit": "pipeline",
    "IndexFolderError": "errors",
    "Input": "pipeline",
    "LanguageModel": "llm.model",
    "MIXINGS": "index.mixing",
    "MediaError": "errors",
    "Mixing": "index.mixing",
    "Mixture": "pipeline",
    "Modality": "encoders.modality",
    "Motion": "encoders.media",
    "Overloaded": "errors",
    "UsageError": "errors",
    "Waveform": "encoders.media",
    "WeightsError": "errors",
    "build_index": "index.pipeline",
    "load": "pipeline",
    "load_encoder": "encoders.encoder",
    "load_language_model": "llm.model",
    "mean": "index.mixing",
    "mix": "index.mixing",
    "slerp": "index.mixing",
}

__all__ = [
    "Answer",
    "AnswerStream",
    "AnyBind",
    "AnyBindError",
    "AsyncClient",
    "BuildOptions",
    "Cache",
    "Chat",
    "Citation",
    "Client",
    "DownloadError",
    "Encoder",
    "Frames",
    "Generation",
    "Hit",
    "IndexFolderError",
    "Input",
    "LanguageModel",
    "MIXINGS",
    "MediaError",
    "Mixing",
    "Mixture",
    "Modality",
    "Motion",
    "Overloaded",
    "UsageError",
    "Waveform",
    "WeightsError",
    "build_index",
    "load",
    "load_encoder",
    "load_language_model",
    "mean",
    "mix",
    "slerp",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("anybind")
    if name not in _WHERE:
        raise AttributeError(f"module 'anybind' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
