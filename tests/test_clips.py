"""The clip rule: first at the start, last at the end, evenly between."""

from fractions import Fraction

from anybind.encoders.clips import clip_starts, clips_to_cover


def test_clips_start_and_end_with_the_recording() -> None:
    """The published rule's own example: five clips of six seconds start at 0, 1, 2, 3, 4."""
    assert clip_starts(6, 5) == [0, 1, 2, 3, 4]
    assert clip_starts(5, 3) == [0, Fraction(3, 2), 3]
    assert clip_starts(5, 1) == [0]


def test_clips_of_a_short_recording_coincide() -> None:
    assert clip_starts(1.5, 3) == [0, 0, 0]


def test_a_recording_is_covered_up_to_the_limit() -> None:
    """One clip each two seconds, rounded up; 50 ms of padding ask for none."""
    seconds = (0, 2, 2.04, 2.1, 30, 31)
    assert [clips_to_cover(s, 15) for s in seconds] == [1, 1, 1, 2, 15, 15]
