"""The language model that is shipped: its files, and what it says of scenes it never saw.

The facts of the scenes are the reference. How well it does, over a thousand scenes and every
medium, is measured by ``scripts/evaluate_cache.py``; here are enough to notice that it is broken.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import transformers

from anybind.encoders.encoder import Encoder, load_encoder
from anybind.encoders.modality import Modality, Vectors
from anybind.llm.base import load_base
from anybind.llm.config import Generation
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.presets import MINI
from anybind.llm.prompt import CAPTION, format_prompt
from anybind.llm.tokenizer import find_tokenizer
from anybind.world.corpus import instructions
from anybind.world.dialogues import answered_rightly, names_category, names_colour, questions
from anybind.world.media import medium
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

MOST_BYTES = 16 * 2**20  # of the base, and of each adapter
N_SCENES = 60
GREEDY = Generation(temperature=0, max_tokens=48)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("imagebind-mini", device="cpu")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(number) for number in split_ids("validation", N_SCENES)]


@pytest.fixture(scope="module")
def seen(encoder: Encoder, scenes: Sequence[Scene]) -> Vectors:
    """The vectors of the scenes' pictures."""
    return encoder.encode(Modality.IMAGE, [medium(Modality.IMAGE, of, 96) for of in scenes])


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_language_model(MINI, MINI / "adapter.safetensors", device="cpu")


def test_files_are_small_and_whole() -> None:
    assert (MINI / "LICENSE").exists()
    weights = sorted(MINI.glob("*.safetensors"))
    assert [path.stem for path in weights] == ["adapter", "chat", "linear", "model"]
    for path in weights:
        assert path.stat().st_size < MOST_BYTES


def test_captions_name_what_a_picture_shows(
    model: LanguageModel, scenes: Sequence[Scene], seen: Vectors
) -> None:
    """Of sixty, one standard deviation is 0.04 to 0.06."""
    said = model.generate([format_prompt(CAPTION)] * N_SCENES, seen, GREEDY)
    named = [names_category(of, text) for of, text in zip(scenes, said, strict=True)]
    coloured = [names_colour(of, text) for of, text in zip(scenes, said, strict=True)]
    assert np.mean(named) > 0.8 and np.mean(coloured) > 0.5


@pytest.mark.parametrize("name", ["adapter", "chat", "linear"])
def test_questions_are_answered_by_looking(
    name: str, scenes: Sequence[Scene], seen: Vectors
) -> None:
    """Rightly, and with the vectors of other scenes no better than by chance."""
    model = load_language_model(MINI, MINI / f"{name}.safetensors", device="cpu")
    asked = [(i, q) for i, of in enumerate(scenes) for q in questions(of, "en")]
    prompts = [format_prompt(question.question) for _, question in asked]
    places = np.array([i for i, _ in asked])
    shares = []
    for rows in (seen[places], np.roll(seen, N_SCENES // 2, axis=0)[places]):
        said = model.generate(prompts, rows, GREEDY)
        right = [answered_rightly(q, text) for (_, q), text in zip(asked, said, strict=True)]
        shares.append(np.mean(right))
    assert shares[0] > 0.75 and shares[0] > shares[1] + 0.25


def test_exercises_without_a_picture_are_solved(model: LanguageModel) -> None:
    """Instructions in words alone, whose vector is zero, as in the paper."""
    exercises = list(instructions(987_654, 60))
    prompts = [format_prompt(task.instruction, task.input) for task in exercises]
    said = model.generate(prompts, np.zeros((60, 256), np.float32), GREEDY)
    right = [text.strip() == task.output for task, text in zip(exercises, said, strict=True)]
    assert np.mean(right) > 0.4


def test_plain_transformers_opens_the_base() -> None:
    """Its tokenizer gives our tokens; without an adapter its logits are ours."""
    own = find_tokenizer(MINI)
    theirs = transformers.AutoTokenizer.from_pretrained(MINI)
    for text in ("a red train on snow", "雪地上的红色火车", "7 + 5 = 12 \U0001f600"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == list(own.encode(text))
    llama = transformers.AutoModelForCausalLM.from_pretrained(MINI, dtype=torch.float32)
    own_llama = load_base(MINI, device="cpu").llama
    ids = torch.tensor([list(own.encode("a photo of a dog in the snow"))])
    with torch.inference_mode():
        torch.testing.assert_close(llama(ids).logits, own_llama(ids).logits, rtol=1e-4, atol=1e-4)
