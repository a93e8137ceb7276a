"""Language models by name: what is missing is said, and nothing is loaded before it is asked."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from anybind.encoders.encoder import PRESETS as ENCODERS
from anybind.errors import UsageError, WeightsError
from anybind.index.cache import Cache
from anybind.llm import presets
from anybind.llm.presets import PRESETS, LanguageModels, Task, preset_of

from .answering import write_own_adapter
from .llm_folders import write_base


def test_presets_name_encoders_and_caches_that_exist() -> None:
    """The references are the encoder presets and the cache's own defaults."""
    for name, preset in PRESETS.items():
        assert preset.name == name and preset.encoder in ENCODERS
        assert set(preset.adapters) == set(Task)
        assert preset.cache is not None and Cache(**preset.cache) == Cache()
    with pytest.raises(UsageError, match="no language model is called 'gpt'; there are llama-mini"):
        preset_of("gpt")


def test_presets_and_conversations_need_no_torch() -> None:
    """A fresh interpreter."""
    code = "import sys, anybind.llm.presets, anybind.llm.chat; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_that_are_not_shipped_have_to_be_named() -> None:
    """LLaMA's may not be redistributed."""
    models = LanguageModels(preset_of("imagebind-llm-7b"))
    with pytest.raises(UsageError, match=r"without a base \(a folder\) and an adapter \(a file\)"):
        models.get(Task.ASK, dim=1024, encoder="imagebind-huge")
    models = LanguageModels(preset_of("imagebind-llm-7b"), base="7B")
    with pytest.raises(UsageError, match=r"without an adapter \(a file\)"):
        models.get(Task.CHAT, dim=1024, encoder="imagebind-huge")


def test_weights_missing_from_an_installation_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone whose llama-mini was not trained yet."""
    monkeypatch.setattr(presets, "MINI", tmp_path)
    adapters = {Task.ASK: tmp_path / "adapter.safetensors", Task.CHAT: tmp_path / "none"}
    preset = replace(PRESETS["llama-mini"], base=tmp_path, adapters=adapters)
    with pytest.raises(WeightsError) as caught:
        LanguageModels(preset).get(Task.ASK, dim=256, encoder="imagebind-mini")
    assert f"lacks {tmp_path / 'adapter.safetensors'}, a part of llama-mini" in str(caught.value)
    assert "train_llama_mini.py" in str(caught.value)


def test_an_adapter_for_another_width_is_refused_before_the_base_is_read(tmp_path: Path) -> None:
    """There is no base at the path that is given."""
    adapter = write_own_adapter(
        write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors", dim=48
    )
    models = LanguageModels(PRESETS["llama-mini"], base=tmp_path / "none", adapter=adapter)
    with pytest.raises(WeightsError, match="vectors of 48 numbers, and those of mine have 32"):
        models.get(Task.ASK, dim=32, encoder="mine")


def test_a_language_model_is_loaded_once(tmp_path: Path) -> None:
    """With one adapter for both tasks."""
    adapter = write_own_adapter(write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors")
    models = LanguageModels(PRESETS["llama-mini"], base=tmp_path / "base", adapter=adapter)
    first = models.get(Task.ASK, dim=32, encoder="labels")
    assert models.get(Task.CHAT, dim=32, encoder="labels") is first
