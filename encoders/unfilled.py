"""Networks without numbers, for weights that are read from a file.

PyTorch draws a network's first numbers even on its meta device, where tensors hold none. What it
imports for that, its compiler and an algebra system, are 800 modules: seconds of a start.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWING = frozenset({Tensor.normal_, Tensor.uniform_})
INITIALISERS = torch.nn.init.__name__  # the module whose functions fill a tensor and return it


@contextmanager
def unfilled() -> Iterator[None]:
    """Modules that are built in this block have shapes alone, on the meta device."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Within this, tensors that would be filled are left as they are."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING or getattr(func, "__module__", "") == INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
