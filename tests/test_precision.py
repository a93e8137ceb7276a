"""Mixed precision gives what float32 gives, rounded as autocast rounds."""

import math

import pytest
import torch
import torch.nn.functional as F

from anybind.precision import mixed_precision


@pytest.mark.parametrize("enabled", [True, False])
def test_attention_is_computed_in_float32(enabled: bool) -> None:
    """Forward and backward, against the formula; what autocast rounds is the result alone."""
    made = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 7, 16, generator=made, requires_grad=True) for _ in range(3))
    mask = torch.randn(2, 1, 7, 7, generator=made)
    with mixed_precision("cpu", enabled=enabled):
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        product = q @ k.mT
    dtype = torch.bfloat16 if enabled else torch.float32
    assert found.dtype == product.dtype == dtype
    right = torch.softmax(q @ k.mT / math.sqrt(16) + mask, -1) @ v
    torch.testing.assert_close(found, right.to(dtype), rtol=1e-2 if enabled else 1e-5, atol=1e-6)
    weights = torch.randn(found.shape, generator=made).to(dtype)
    gradients = torch.autograd.grad((found * weights).sum(), (q, k, v))
    wanted = torch.autograd.grad((right * weights).sum(), (q, k, v))
    torch.testing.assert_close(gradients, wanted, rtol=1e-4, atol=1e-5)


def test_autocast_that_is_switched_off_inside_stays_off() -> None:
    q = torch.randn(1, 1, 4, 8)
    with mixed_precision("cpu", enabled=True), torch.autocast("cpu", enabled=False):
        assert F.scaled_dot_product_attention(q, q, q).dtype == torch.float32
