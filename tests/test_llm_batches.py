"""The order of examples: how often each is seen, in what company, and by which process."""

from collections import Counter

import numpy as np
import pytest

from anybind.llm.batches import WINDOW, Order, shares

LENGTHS = np.random.default_rng(0).integers(5, 100, 300)
FIRST, SECOND = np.arange(0, 200), np.arange(200, 300)


def order(weights: tuple[float, float] = (1.0, 1.0), seed: int = 0) -> Order:
    return Order([FIRST, SECOND], weights, LENGTHS, batch_size=10, seed=seed)


def seen(found: Order, n: int) -> Counter[int]:
    """How often each example is in the first ``n`` batches."""
    return Counter(int(i) for step in range(n) for i in found.batch(step))


def test_an_epoch_shows_every_example_as_often_as_its_weight_says() -> None:
    """Counted over whole windows, which are 64 batches of 10: each example 64 / 30 = 2.13 times."""
    counts = seen(order(), WINDOW)
    assert set(counts) == set(range(300)) and set(counts.values()) == {2, 3}
    found = order((0.5, 2.0))
    assert found.epoch_size == 100 + 200
    counts = seen(found, WINDOW)  # two epochs and 40 examples of the third
    assert all(
        counts[int(i)] in (1, 2) for i in FIRST
    )  # half of them an epoch, then the other half
    assert all(counts[int(i)] >= 4 for i in SECOND)
    assert sum(counts.values()) == 10 * WINDOW


def test_batches_follow_from_seed_and_step_alone() -> None:
    """The reference is a walk through all steps before."""
    walked = order()
    batches = [walked.batch(step) for step in range(200)]
    for step in (199, 70, 3):
        np.testing.assert_array_equal(order().batch(step), batches[step])
    assert not np.array_equal(order(seed=1).batch(3), batches[3])
    assert len({tuple(batch) for batch in batches}) == 200


def test_a_batch_holds_examples_of_like_length() -> None:
    """Padding against that of batches in plain random order."""
    padded = sum(int(LENGTHS[order().batch(s)].max()) * 10 for s in range(WINDOW))
    real = sum(int(LENGTHS[order().batch(s)].sum()) for s in range(WINDOW))
    rng = np.random.default_rng(0)
    plain = [LENGTHS[rng.integers(0, 300, 10)] for _ in range(WINDOW)]
    assert padded / real < 1.03 < 1.5 < sum(p.max() * 10 for p in plain) / sum(map(sum, plain))
    longest = [int(LENGTHS[order().batch(s)].max()) for s in range(WINDOW)]
    assert longest != sorted(longest)  # batches themselves come in random order


@pytest.mark.parametrize(("n_processes", "accumulation"), [(1, 1), (2, 1), (3, 2), (2, 5)])
def test_processes_and_parts_share_a_batch_without_loss(
    n_processes: int, accumulation: int
) -> None:
    batch = np.arange(10)
    parts = [
        part
        for process in range(n_processes)
        for part in shares(
            batch, process=process, n_processes=n_processes, accumulation=accumulation
        )
    ]
    assert len(parts) == n_processes * accumulation
    assert sorted(np.concatenate(parts).tolist()) == batch.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_source_smaller_than_a_batch_is_repeated() -> None:
    found = Order([np.array([7])], [1.0], np.arange(8), batch_size=4, seed=0)
    assert found.batch(0).tolist() == [7] * 4
