"""Networks are built without numbers, and without what PyTorch imports to draw them."""

import subprocess
import sys

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.encoders.config import imagebind_mini
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.unfilled import unfilled

HEAVY = {  # takes seconds, and is not needed
    *("torch._dynamo", "torch._inductor", "sympy", "scipy", "sklearn", "pandas"),
    *("transformers", "accelerate", "matplotlib", "tensorboard", "trimesh"),
}
FIRST_SEARCH = """
import sys
import anybind.server.serve
import anybind.pipeline
from anybind.encoders.modality import Modality
encoder = anybind.pipeline.load_encoder()
encoder.encode(Modality.TEXT, ["a red train"])
print(*sys.modules)
"""


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_a_network_has_the_shapes_of_one_that_is_filled() -> None:
    """The reference is the same network built as usual."""
    llama = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    with unfilled():
        found = (ImageBind(imagebind_mini()), LlamaForCausalLM(llama))
    for empty, whole in zip(
        found, (ImageBind(imagebind_mini()), LlamaForCausalLM(llama)), strict=True
    ):
        assert shapes(empty) == shapes(whole)
        assert all(parameter.is_meta for parameter in empty.parameters())


def test_numbers_are_drawn_again_behind_the_block() -> None:
    """Every way of drawing them leaves a tensor alone inside, and the generator too."""
    tensor = torch.zeros(4, 4)
    state = torch.get_rng_state()
    with unfilled():
        for fill in (nn.init.normal_, nn.init.xavier_uniform_, nn.init.kaiming_normal_):
            assert fill(tensor) is tensor
        assert tensor.uniform_() is tensor and not tensor.any()
    torch.testing.assert_close(torch.get_rng_state(), state)
    assert nn.init.normal_(tensor).any() and not nn.Linear(2, 2).weight.is_meta


def test_nothing_heavy_is_imported_on_the_way_to_the_first_search() -> None:
    """In a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_SEARCH], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "torch" in loaded and not loaded & HEAVY
