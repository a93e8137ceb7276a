"""What of a record is learned, where it is cut, and what becomes of its pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from anybind.errors import UsageError
from anybind.llm.batches import collate
from anybind.llm.examples import Encoded, Examples, encoder_of
from anybind.llm.network import IGNORED
from anybind.llm.prompt import Turn, format_prompt
from anybind.llm.records import Picture, Record, Skipped
from anybind.llm.vectors import key_of

BOS, EOS = 256, 257


class Bytes:
    """A byte a token; ``:a`` is one token of its own, a merge across the border of a prompt."""

    size = n_tokens = 259

    def encode(self, text: str) -> list[int]:
        rows = [[*part] for part in text.encode().split(b":a")]
        return [id for n, row in enumerate(rows) for id in ([258] if n else []) + row]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode()


def encoder(max_tokens: int = 1000) -> Callable[[Record], Encoded | str]:
    return encoder_of(Bytes(), bos=BOS, eos=EOS, max_tokens=max_tokens)


def encoded(record: Record, max_tokens: int = 1000) -> Encoded:
    found = encoder(max_tokens)(record)
    assert isinstance(found, Encoded)
    return found


def record(*turns: tuple[str, str], pictures: Sequence[Picture | None] = ()) -> Record:
    return Record(
        name="r",
        turns=tuple(Turn(question=question, answer=answer) for question, answer in turns),
        pictures=tuple(pictures) or (None,) * len(turns),
    )


def learned_text(found: Encoded) -> str:
    """The learned tokens as text, the end as |."""
    ids = [t for t, learned in zip(found.tokens, found.learned, strict=True) if learned]
    return "".join("|" if i == EOS else chr(i) for i in ids)


def test_tokens_and_mask_are_the_published_ones_where_no_token_crosses_the_border() -> None:
    """Published: opening, prompt, answer and end in one row; as many ignored as the prompt has."""
    found = encoded(record(("What is it?", "Red dog.")))
    prompt = Bytes().encode(format_prompt("What is it?"))
    assert found.tokens == [BOS, *prompt, *b"Red dog.", EOS]
    n_ignored = 1 + len(prompt)
    assert found.learned == bytes(n_ignored) + b"\1" * (len(found.tokens) - n_ignored)


def test_prompts_that_repeat_are_the_same_each_time() -> None:
    """The reference is the first time: captions all share one prompt."""
    encode = encoder()
    first, *others = (encode(record(("What?", "A dog."))) for _ in range(3))
    assert all(other == first for other in others)


def test_the_border_of_an_answer_is_a_border_of_tokens() -> None:
    """``Response:`` and ``a`` would melt; answering begins with ``a`` behind the whole prompt."""
    found = encoded(record(("What?", "a dog")))
    assert Bytes().encode("Response:a")[-1] == 258 and 258 not in found.tokens
    assert learned_text(found) == "a dog|"


def test_every_answer_of_a_conversation_is_learned_with_its_end() -> None:
    found = encoded(record(("One?", "Yes."), ("Two?", "No.")))
    assert learned_text(found) == "Yes.|No.|" and not found.cut


def test_a_picture_is_in_force_from_its_question_on() -> None:
    """Nothing before the first one; the last one to the end."""
    a, b = Picture("a"), Picture("b")
    found = encoded(
        record(("0?", "x"), ("1?", "x"), ("2?", "x"), ("3?", "x"), pictures=[None, a, None, b])
    )
    assert found.shown == [None, a, b]
    at = {place: found.tokens.index(ord(str(place))) for place in range(4)}
    assert [found.segments[at[place]] for place in range(4)] == [0, 1, 1, 2]
    assert found.segments[-1] == 2


def test_a_long_answer_is_cut_and_its_end_is_not_learned() -> None:
    """With one token of room less than the whole: all of the answer, and no end."""
    whole = encoded(record(("What?", "A dog.")))
    assert not encoded(record(("What?", "A dog.")), max_tokens=len(whole.tokens)).cut
    found = encoded(record(("What?", "A dog.")), max_tokens=len(whole.tokens) - 1)
    assert found.cut and learned_text(found) == "A dog."
    shorter = encoded(record(("What?", "A dog.")), max_tokens=len(whole.tokens) - 4)
    assert shorter.cut and learned_text(shorter) == "A d"


def test_turns_that_do_not_fit_fall_away_whole() -> None:
    first = encoded(record(("One?", "Yes.")))
    found = encoded(record(("One?", "Yes."), ("Two?", "No.")), max_tokens=len(first.tokens) + 9)
    assert found.cut and found.tokens == first.tokens


def test_a_question_without_room_for_an_answer_is_skipped() -> None:
    n = len(Bytes().encode(format_prompt("What?"))) + 1
    found = encoder(max_tokens=n)(record(("What?", "A dog.")))
    assert found == "its question leaves no room for an answer"
    assert learned_text(encoded(record(("What?", "A dog.")), max_tokens=n + 1)) == "A"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    """Four files, of which the first two are equal."""
    for i, content in enumerate((b"same", b"same", b"other", b"broken")):
        (tmp_path / f"{i}").write_bytes(content)
    return [Picture(str(tmp_path / f"{i}")) for i in range(4)]


def test_batches_hold_the_tokens_labels_and_vectors_of_their_examples(
    pictures: list[Picture],
) -> None:
    """Written out for three examples; equal pictures share a vector, no picture is zeros."""
    examples = Examples()
    records: list[Record | Skipped] = [
        record(("a", "b"), ("c", "d"), pictures=[None, pictures[2]]),
        record(("a", "bcd"), pictures=[pictures[1]]),
        record(("a", "b")),
        record(("a", "b"), pictures=[pictures[3]]),
        Skipped(name="s", reason="no picture"),
    ]
    examples.add("list", 2.0, records, encoder())
    examples.add("more", 1.0, records[:2], encoder())
    keys = {name: key_of(pictures[i]) for i, name in enumerate(("same", "same", "other"))}
    vectors = np.eye(5, 3, dtype=np.float32) + 1
    examples.settle({keys["same"]: 1, keys["other"]: 4}, {key_of(pictures[3]): "no image"})
    assert [list(ids) for ids in examples.ids] == [[0, 1, 2], [4, 5]]
    report = examples.reports[0]
    assert (report.records, sum(report.skipped.values())) == (3, 2)
    assert report.skipped == {"no picture": 1, "its picture is broken": 1}
    assert report.examples == {"s": "no picture", pictures[3].file: "no image"}
    assert report.tokens == examples.lengths[:3].sum() and report.learned == 4 + 4 + 2
    assert report.digest != examples.reports[1].digest

    batch = collate(examples, np.array([2, 1, 0]), vectors)
    assert batch.segments is not None
    length = int(examples.lengths[0])
    assert batch.tokens.shape == (3, length) and batch.vectors.shape == (3, 2, 3)
    np.testing.assert_array_equal(batch.vectors[0], np.zeros((2, 3)))
    np.testing.assert_array_equal(batch.vectors[1], [vectors[1], np.zeros(3)])
    np.testing.assert_array_equal(batch.vectors[2], [np.zeros(3), vectors[4]])
    kept = batch.labels[1][batch.labels[1] != IGNORED]
    assert kept.tolist() == [*b"bcd", EOS]
    assert batch.tokens[1][batch.labels[1] != IGNORED].tolist() == kept.tolist()

    alone = collate(examples, np.array([1]), vectors)
    assert alone.segments is None and alone.vectors.tolist() == [vectors[1].tolist()]


def test_a_source_without_a_usable_record_is_refused() -> None:
    examples = Examples()
    examples.add("list", 1.0, [Skipped(name="s", reason="no picture")], encoder())
    with pytest.raises(UsageError, match=r"list has no record to learn from \(1: no picture\)"):
        examples.settle({}, {})


def test_a_picture_that_is_gone_skips_its_record(tmp_path: Path) -> None:
    examples = Examples()
    gone = record(("a", "b"), pictures=[Picture(str(tmp_path / "gone"))])
    examples.add("list", 1.0, [gone, record(("a", "b"))], encoder())
    examples.settle({}, {})
    assert examples.reports[0].skipped == {"its picture cannot be read": 1}
    assert examples.reports[0].examples == {"r": "No such file or directory"}
