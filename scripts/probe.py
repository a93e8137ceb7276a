"""What can be read off vectors by a linear map: a probe, trained on pictures alone.

The language model learns from vectors of pictures and is then shown others; so does the probe.
What it cannot tell is hardly in the vectors, and what it loses from one medium to another is lost
to the modality gap and not to a language model.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anybind.encoders.modality import Vectors
from anybind.world.categories import CATEGORY_NAMES
from anybind.world.scene import Scene

SCALE = 16.0  # unit vectors of 256 numbers become numbers of about 1
EPOCHS = 25
BATCH = 256
LR = 3e-3  # at the peak of one cycle
WEIGHT_DECAY = 0.01
LIKELY = 0.5  # a category is named from this probability on; the likeliest one always

Names = npt.NDArray[np.bool_]  # (n, categories)


class Probe:
    """One logistic regression a category, on unit vectors."""

    def __init__(self, vectors: Vectors, scenes: Sequence[Scene], *, seed: int) -> None:
        """Fit it to the vectors ``(n, dim)`` of the pictures of scenes."""
        torch.manual_seed(seed)
        self._linear = nn.Linear(vectors.shape[1], len(CATEGORY_NAMES))
        x, there = self._scaled(vectors), torch.from_numpy(shown(scenes)).float()
        optimizer = torch.optim.AdamW(self._linear.parameters(), LR, weight_decay=WEIGHT_DECAY)
        steps = EPOCHS * -(-len(x) // BATCH)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
        for _ in range(EPOCHS):
            for batch in torch.split(torch.randperm(len(x)), BATCH):
                loss = F.binary_cross_entropy_with_logits(self._linear(x[batch]), there[batch])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                cycle.step()

    @torch.no_grad()
    def names(self, vectors: Vectors) -> Names:
        """Which categories it names: the likeliest, and any other that is likelier than not."""
        logits = self._linear(self._scaled(vectors))
        named = logits.sigmoid() > LIKELY
        named[torch.arange(len(logits)), logits.argmax(dim=1)] = True
        out: Names = named.numpy()
        return out

    def right(self, vectors: Vectors, scenes: Sequence[Scene]) -> npt.NDArray[np.bool_]:
        """Whether it names only what is there, ``(n,)``: the rule for captions."""
        wrong: Names = self.names(vectors) & ~shown(scenes)
        return np.asarray(~wrong.any(axis=1))

    @staticmethod
    def _scaled(vectors: Vectors) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(vectors, np.float32)) * SCALE


def shown(scenes: Sequence[Scene]) -> Names:
    """The categories of scenes."""
    return np.array(
        [
            [name in {item.category for item in of.objects} for name in CATEGORY_NAMES]
            for of in scenes
        ]
    )
