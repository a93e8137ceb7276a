"""A bind network before training: how loud it is beside what it is added to."""

import numpy as np
import torch

from anybind.llm.bind import BindNetwork
from anybind.llm.config import BindConfig
from anybind.llm.injection import Injection


def test_a_new_bind_network_is_as_loud_as_the_layer_queries() -> None:
    """Sums of squares of 512 standard normal numbers, of which the mean of 64 is 1 within 0.03;
    torch's own start gives 1 / (3 * 256) of that."""
    torch.manual_seed(0)
    bind = BindNetwork(BindConfig(in_dim=256, dim=512, hidden=16, n_blocks=0))
    vectors = torch.nn.functional.normalize(torch.randn(64, 256), dim=1)
    queries = Injection(n_layers=64, n_heads=4, dim=512).queries
    for rows in (bind(vectors), queries):
        np.testing.assert_allclose(rows.detach().square().mean(), 1, atol=0.06)
