"""Language models by name: what is missing is said, and nothing is loaded before it is asked."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from anybind.encoders.encoder import PRESETS as ENCODERS
from anybind.encoders.encoder import Encoder, load_encoder
from anybind.errors import UsageError, WeightsError
from anybind.index.cache import Cache
from anybind.llm import presets
from anybind.llm.adapter import EncoderNote, open_adapter
from anybind.llm.presets import PRESETS, LanguageModels, Task, preset_of

from .answering import Labels, write_own_adapter
from .llm_folders import write_base

LABELS = cast(Encoder, Labels())


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
        models.get(Task.ASK, load_encoder("imagebind-huge"))
    models = LanguageModels(preset_of("imagebind-llm-7b"), base="7B")
    with pytest.raises(UsageError, match=r"without an adapter \(a file\)"):
        models.get(Task.CHAT, load_encoder("imagebind-huge"))


def test_weights_missing_from_an_installation_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone whose llama-mini was not trained yet."""
    monkeypatch.setattr(presets, "MINI", tmp_path)
    adapters = {Task.ASK: tmp_path / "adapter.safetensors", Task.CHAT: tmp_path / "none"}
    preset = replace(PRESETS["llama-mini"], base=tmp_path, adapters=adapters)
    with pytest.raises(WeightsError) as caught:
        LanguageModels(preset).get(Task.ASK, load_encoder("imagebind-mini"))
    assert f"lacks {tmp_path / 'adapter.safetensors'}, a part of llama-mini" in str(caught.value)
    assert "train_llama_mini.py" in str(caught.value)


def test_an_adapter_for_another_width_is_refused_before_the_base_is_read(tmp_path: Path) -> None:
    """There is no base at the path that is given."""
    adapter = write_own_adapter(
        write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors", dim=48
    )
    models = LanguageModels(PRESETS["llama-mini"], base=tmp_path / "none", adapter=adapter)
    with pytest.raises(WeightsError, match="vectors of 48 numbers, and those of labels have 32"):
        models.get(Task.ASK, LABELS)


MINE, OTHER = "sha256:mine", "sha256:other"


@pytest.mark.parametrize(
    ("note", "fits"),
    [
        (None, True),  # published adapters say nothing
        (EncoderNote(name="labels", fingerprint=LABELS.fingerprint), True),
        (EncoderNote(name="labels", fingerprint=OTHER, image=LABELS.image_fingerprint), True),
        (EncoderNote(name="labels", fingerprint=OTHER, image=MINE), False),
        (EncoderNote(name="labels", fingerprint=OTHER), False),
        (EncoderNote(name=None, fingerprint=OTHER), False),
    ],
)
def test_an_adapter_is_for_the_encoder_whose_pictures_it_saw(
    note: EncoderNote | None, fits: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Towers of other media may change; the line names both encoders, and force goes on."""
    base, path = write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors"
    adapter = write_own_adapter(base, path, encoder=note)
    assert open_adapter(adapter).encoder == note
    models = LanguageModels(PRESETS["llama-mini"], base=base, adapter=adapter)
    if fits:
        models.get(Task.ASK, LABELS)
        assert "encoder" not in caplog.text
        return
    assert note is not None
    with pytest.raises(WeightsError) as caught:
        models.get(Task.ASK, LABELS)
    mine = LABELS.image_fingerprint if note.image else LABELS.fingerprint
    for part in (f"as {note} sees them", str(note.image or note.fingerprint), f"{mine}"):
        assert part in str(caught.value)
    assert "or force it" in str(caught.value) and "\n" not in str(caught.value)
    forced = LanguageModels(PRESETS["llama-mini"], base=base, adapter=adapter, force=True)
    forced.get(Task.ASK, LABELS)
    assert "the answers may mean nothing" in caplog.text


def test_every_encoder_that_asks_is_compared(tmp_path: Path) -> None:
    """A server has indexes of several; that the first one fits says nothing of the second."""
    base, path = write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors"
    adapter = write_own_adapter(base, path, encoder=EncoderNote.of(LABELS))
    models = LanguageModels(PRESETS["llama-mini"], base=base, adapter=adapter)
    models.get(Task.ASK, LABELS)
    other = Labels()
    other.fingerprint, other.image_fingerprint = OTHER, MINE
    with pytest.raises(WeightsError, match="was tuned on pictures as labels"):
        models.get(Task.ASK, cast(Encoder, other))
    models.get(Task.ASK, LABELS)


def test_a_note_may_be_a_bare_fingerprint_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    """Adapters of before the image tower was noted."""
    path = write_own_adapter(write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors")
    with safe_open(path, "pt") as file:
        header = file.metadata()
    save_file(load_file(path), path, metadata={**header, "encoder": OTHER})
    assert open_adapter(path).encoder == EncoderNote(name=None, fingerprint=OTHER)
    for note in ("{}", "[]", "nonsense"):
        save_file(load_file(path), path, metadata={**header, "encoder": note})
        with pytest.raises(WeightsError, match="header that cannot be read"):
            open_adapter(path)


def test_the_shipped_adapters_are_for_the_shipped_encoder() -> None:
    """The reference is what the shipped weights give."""
    encoder = load_encoder("imagebind-mini", device="cpu")
    for path in PRESETS["llama-mini"].adapters.values():
        assert path is not None
        note = open_adapter(path).encoder
        assert note is not None and note.name == encoder.name
        assert encoder.image_fingerprint == note.image or encoder.fingerprint == note.fingerprint


def test_a_language_model_is_loaded_once(tmp_path: Path) -> None:
    """With one adapter for both tasks."""
    adapter = write_own_adapter(write_base(tmp_path / "base", "hf"), tmp_path / "a.safetensors")
    models = LanguageModels(PRESETS["llama-mini"], base=tmp_path / "base", adapter=adapter)
    first = models.get(Task.ASK, LABELS)
    assert models.get(Task.CHAT, LABELS) is first
