"""Language models by name: where their files lie, and how they want to be asked.

A preset is files and settings, never a branch in the code. It has two adapters, one for single
questions and one for conversations; each is loaded when it is first asked, so that who only
searches needs no language model. Neither torch nor transformers is needed until then.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from ..errors import UsageError, WeightsError

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder
    from .base import Precision
    from .model import LanguageModel

MINI = Path(__file__).with_name("llama_mini")


class Task(StrEnum):
    """What a language model is loaded for; each has an adapter."""

    ASK = "ask"  # one question
    CHAT = "chat"  # a conversation of several turns


class CacheDefaults(TypedDict):
    """How strongly queries are pulled toward images before the language model sees them."""

    k: int
    alpha: float
    weighting: str
    temperature: float


PUBLISHED_CACHE = CacheDefaults(k=10, alpha=0.5, weighting="softmax", temperature=20.0)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A language model that goes with an encoder."""

    name: str
    base: Path | None  # folder of the base; None: the user's own, which may not be shipped
    adapters: Mapping[Task, Path | None]  # None: the user's own
    encoder: str  # whose vectors the adapters were tuned on, a preset of encoders/
    normalize_mixtures: bool  # several inputs are mixed to unit length, or as in the published code
    cache: CacheDefaults | None  # used unless another is asked for; None: no cache


PRESETS: dict[str, Preset] = {
    "llama-mini": Preset(
        name="llama-mini",
        base=MINI,
        adapters={
            Task.ASK: MINI / "adapter.safetensors",
            Task.CHAT: MINI / "chat.safetensors",
        },
        encoder="imagebind-mini",
        normalize_mixtures=True,
        cache=PUBLISHED_CACHE,
    ),
    "imagebind-llm-7b": Preset(
        name="imagebind-llm-7b",
        base=None,
        adapters={Task.ASK: None, Task.CHAT: None},
        encoder="imagebind-huge",
        normalize_mixtures=False,
        cache=PUBLISHED_CACHE,
    ),
}


def preset_of(name: str) -> Preset:
    """A preset by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(
            f"no language model is called {name!r}; there are {', '.join(PRESETS)}, and weights of "
            "your own are given as base and adapter"
        )
    return PRESETS[name]


class LanguageModels:
    """The language models of a preset, each loaded at its first use. Safe from many threads.

    Args:
        preset: Which.
        base: A folder to use instead of the preset's base.
        adapter: A file to use instead of the preset's adapters, for both tasks.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of the weights: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        expect_base: The fingerprint the base must have.
        force: Put the adapter on another base or encoder than its own all the same.
    """

    def __init__(
        self,
        preset: Preset,
        *,
        base: str | os.PathLike[str] | None = None,
        adapter: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        expect_base: str | None = None,
        force: bool = False,
    ) -> None:
        self.preset = preset
        self._base = preset.base if base is None else Path(base)
        self._adapters = {
            task: preset.adapters[task] if adapter is None else Path(adapter) for task in Task
        }
        self._device = device
        self._precision = precision
        self._expect_base = expect_base
        self._force = force
        self._loaded: dict[Path, LanguageModel] = {}
        self._checked: set[tuple[Path, str]] = set()  # adapters, fingerprints of encoders
        self._loading = threading.Lock()

    def get(self, task: Task, encoder: "Encoder") -> "LanguageModel":
        """The language model for a task.

        Args:
            task: A single question or a conversation.
            encoder: What the vectors come from that it will be shown.

        Raises:
            UsageError: Weights have to be named, or there is no such folder or device.
            WeightsError: A file is missing or damaged, or is for another base or encoder.
            AnyBindError: The weights do not fit into memory.
        """
        base, adapter = self._files(task)
        with self._loading:
            if (adapter, encoder.fingerprint) not in self._checked:
                from .adapter import check_encoder, open_adapter

                # fails sooner than the base loads
                check_encoder(open_adapter(adapter), encoder, force=self._force)
                self._checked.add((adapter, encoder.fingerprint))
            if adapter not in self._loaded:
                from .model import load_language_model

                self._loaded[adapter] = load_language_model(
                    base,
                    adapter,
                    device=self._device,
                    precision=cast("Precision", self._precision),
                    expect_base=self._expect_base,
                    force=self._force,
                )
            return self._loaded[adapter]

    def _files(self, task: Task) -> tuple[Path, Path]:
        """The folder of the base, and the adapter."""
        base, adapter = self._base, self._adapters[task]
        if base is None or adapter is None:
            missing = " and ".join(
                what
                for what, path in (("a base (a folder)", base), ("an adapter (a file)", adapter))
                if path is None
            )
            raise UsageError(
                f"{self.preset.name} comes without {missing}; give the paths of your own as base "
                "and adapter"
            )
        for path in (base, adapter):
            if path.is_relative_to(MINI) and not path.exists():
                raise WeightsError(
                    f"this installation lacks {path}, a part of {self.preset.name}: train it with "
                    "scripts/train_llama_mini.py, or give a base and an adapter of your own"
                )
        return base, adapter
