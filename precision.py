"""Mixed precision on CPUs.

On CPUs PyTorch 2.13's fused attention has a backward pass that in bfloat16 takes several times as
long as in float32, at short sequences above all; and autocast takes bfloat16 where it can.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextmanager
def mixed_precision(device: str, *, enabled: bool) -> Iterator[None]:
    """Autocast to bfloat16, the fast way on each device.

    Args:
        device: Its type, such as ``"cpu"``.
        enabled: If not, this does nothing.
    """
    attention = _AttentionInFloat32() if enabled and device == "cpu" else nullcontext()
    with torch.autocast(device, torch.bfloat16, enabled=enabled), attention:
        yield


class _AttentionInFloat32(TorchFunctionMode):
    """Within this, autocast on CPUs leaves attention in float32; its result is as autocast's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        attends = func is F.scaled_dot_product_attention
        if not attends or not torch.is_autocast_enabled("cpu"):  # it may be switched off inside
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            found = func(*map(_whole, args), **{name: _whole(v) for name, v in kwargs.items()})
        return found.to(torch.get_autocast_dtype("cpu"))


def _whole(value: Any) -> Any:
    """A tensor of any floating precision in float32, anything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
