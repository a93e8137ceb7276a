"""The training loop of the scripts: runs that were stopped end as ones that were not."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from .scripts import script

loop = script("loop")
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Muon's coefficients; five rounds


def a_model() -> nn.Module:
    """A hidden matrix, which Muon trains, and a bias and another matrix, which AdamW does."""
    torch.manual_seed(0)
    return nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(6, 6)]), "head": nn.Linear(6, 1)})


def train(out: Path, *, stop_at: int | None = None) -> dict[str, Tensor]:
    """Ten steps on random rows; ``stop_at`` breaks off there."""
    model = a_model()

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        if step == stop_at:
            raise KeyboardInterrupt
        rows = torch.from_numpy(rng.standard_normal((8, 6), np.float32))
        assert isinstance(model, nn.ModuleDict)
        (block,) = model["blocks"].children()
        made = model["head"](torch.tanh(block(rows)) + torch.rand(8, 6))
        return (made - rows.sum(1, keepdim=True)).square().mean(), {"rows": 8.0}

    settings = loop.Schedule(n_samples=80, batch=8, precision="fp32", lr=0.02, lr_rest=0.01)
    loop.fit(model, settings, loss_of, out, name="it")
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train(tmp_path / "whole")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop_at=4)
    parts = train(tmp_path / "parts")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=0)
    logs = [
        (tmp_path / folder / "it.csv").read_text().splitlines() for folder in ("whole", "parts")
    ]
    assert [[row.split(",")[i] for i in (0, 2)] for row in logs[0]] == [
        [row.split(",")[i] for i in (0, 2)] for row in logs[1]
    ]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    other = loop.Schedule(n_samples=80, batch=8, precision="fp32", lr=0.5)
    with pytest.raises(SystemExit, match="choose another --out"):
        loop.resume(a_model(), other, tmp_path, "it")


def test_muon_works_in_float32_where_products_do() -> None:
    """Its formula in numpy is the reference; torch's own way, bfloat16, is far from it."""
    gradient = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    steps = []
    for within in (loop._WithoutBfloat16(), torch.enable_grad()):
        matrix = nn.Parameter(torch.zeros(4, 6))
        matrix.grad = torch.from_numpy(gradient.copy())
        muon: torch.optim.Optimizer = torch.optim.Muon(
            [matrix], lr=1.0, weight_decay=0.0, nesterov=False, momentum=0.0
        )
        with within:
            muon.step()
        assert matrix.dtype == torch.float32
        steps.append(-matrix.detach().numpy())
    expected = orthogonalised(gradient)
    np.testing.assert_allclose(steps[0], expected, atol=1e-5)
    assert np.abs(steps[1] - expected).max() > 1e-4


def orthogonalised(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Five rounds of Newton and Schulz, as Muon's author gives them."""
    a, b, c = NEWTON_SCHULZ
    x = matrix / np.linalg.norm(matrix).astype(np.float64)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
