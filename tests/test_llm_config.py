"""Sizes and settings as plain data: what they accept, and what survives JSON."""

import json
import subprocess
import sys

import pytest

from anybind.errors import UsageError
from anybind.llm.config import AdapterConfig, BindConfig, Generation


def test_a_configuration_survives_json() -> None:
    """The reference is the object itself."""
    config = AdapterConfig(bind=BindConfig(dim=64, legacy=True), n_layers=3, lora_rank=0)
    assert AdapterConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": 1}, "unknown more"),
        ({"n_layers": "3"}, "n_layers is '3'"),
        ({"n_heads": 0}, "n_heads is 0"),
        ({"bind": 3}, "config.bind is 3"),
        ({"lora_rank": -1}, "lora_rank is -1"),
    ],
)
def test_a_wrong_configuration_is_named(change: dict[str, object], message: str) -> None:
    """Each is one mistake in an otherwise good table."""
    with pytest.raises(ValueError, match=message):
        AdapterConfig.from_dict(AdapterConfig().to_dict() | change)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, float], message: str) -> None:
    """A user's mistake, so the command line exits with 2."""
    with pytest.raises(UsageError, match=message):
        Generation(**settings)  # type: ignore[arg-type]


def test_configurations_and_prompts_need_no_torch() -> None:
    """A process of its own, for modules stay loaded."""
    code = (
        "import sys, anybind.llm.config, anybind.llm.prompt; "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
