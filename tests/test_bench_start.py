"""The table of start-up times, from times that are known."""

from .scripts import script

bench_start = script("bench_start")


def test_rows_are_medians_in_their_order() -> None:
    """By hand: the medians of three starts."""
    found = [
        {"healthz": 1.0, "search": 3.0, "index": 2.0, "language model": 9.0},
        {"healthz": 0.5, "search": 5.0, "index": 2.5, "language model": 7.0},
        {"healthz": 0.9, "search": 2.9, "index": 2.4, "language model": 7.5},
    ]
    assert bench_start.rows(found)[2:] == [
        "| healthz | 0.90 | 0.50 | 1.00 | < 2 |",
        "| index | 2.40 | 2.00 | 2.50 |  |",
        "| search | 3.00 | 2.90 | 5.00 | < 4 |",
        "| language model | 7.50 | 7.00 | 9.00 | < 8 |",
    ]
