"""Text: CLIP's ids exactly, long texts that keep their end, and small vocabularies."""

import hashlib
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from anybind.encoders.text import END, START, VOCABULARY, TextPreprocessor, Tokenizer, _warn_of_cut
from anybind.errors import MediaError

CAPTIONS = ["a red train on snow", "two small dogs bark at a blue car", "it's 3 o'clock!"]


def test_reference_ids_are_the_published_ones(data: Path) -> None:
    """ImageBind's tokenizer with ftfy 6.3; see parity/preprocess.json."""
    golden = np.load(data / "parity" / "preprocess.npz")["text/ids"]
    texts = json.loads((data / "parity" / "preprocess.json").read_text())["texts"]
    prepare = TextPreprocessor(reference=True)
    np.testing.assert_array_equal(np.stack([prepare(t) for t in texts]), golden, strict=True)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("A dog.", [320, 1929, 269]),
        ("I'll   go\n\tnow", [328, 1342, 861, 692]),
        ("日本", [39121, 19277, 361]),
        ("", []),
    ],
)
def test_known_rows(text: str, ids: list[int]) -> None:
    """The ids that CLIP's users quote."""
    row = TextPreprocessor()(text)
    assert row.tolist() == [START, *ids, END] + [0] * (75 - len(ids))


def test_the_vocabulary_is_clips_own() -> None:
    """The sha256 of the file that OpenAI published."""
    digest = hashlib.sha256(VOCABULARY.read_bytes()).hexdigest()
    assert digest == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"


def test_long_texts_keep_their_end_and_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """75 tokens of text and the end token; before it was fixed, ImageBind lost the end token."""
    _warn_of_cut.cache_clear()
    prepare = TextPreprocessor()
    with caplog.at_level(logging.WARNING):
        rows = [prepare("word " * n) for n in (74, 75, 76, 500)]
    assert [int(row.argmax()) for row in rows] == [75, 76, 76, 76]
    assert all(row.max() == END for row in rows)
    np.testing.assert_array_equal(rows[1], rows[3])
    assert len(caplog.records) == 1
    assert "77 tokens" in caplog.text


def test_the_end_token_spelled_out_is_plain_text_by_default() -> None:
    """Otherwise a caption could end itself early; the published code lets it."""
    text = "before <|endoftext|> after"
    plain, published = TextPreprocessor()(text), TextPreprocessor(reference=True)(text)
    assert plain.argmax() > published.argmax() == 2
    assert Tokenizer().decode(plain) == "before <| endoftext |> after"


def test_decoding_gives_the_cleaned_text_back() -> None:
    tokenizer = Tokenizer()
    for text in CAPTIONS[:2]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode("Caf&eacute;  \u65e5\u672c")) == "café 日本"


def test_kept_ids_are_positions_and_everything_else_is_spelled() -> None:
    """A row of the small vocabulary, looked up in ``kept``, is CLIP's row for texts it covers."""
    kept = Tokenizer.ids_used(CAPTIONS)
    assert kept[:512] == tuple(range(512))
    assert kept[-2:] == (START, END)
    small, whole = TextPreprocessor(n_tokens=32, kept=kept), TextPreprocessor(n_tokens=32)
    for caption in CAPTIONS:
        row = small(caption)
        assert row.max() == len(kept) - 1
        np.testing.assert_array_equal(np.array(kept)[row], whole(caption))
    unseen = small("zebra")
    n_letters = unseen.argmax() - 1
    assert n_letters == len("zebra")  # one token in CLIP's vocabulary
    assert (unseen[1 : 1 + n_letters] < 512).all()
    assert Tokenizer(kept=kept).decode(unseen) == "zebra"


def test_kept_must_hold_all_bytes() -> None:
    with pytest.raises(ValueError, match="byte symbols"):
        Tokenizer(kept=(*range(500), START, END))


def test_preprocessors_travel_between_processes() -> None:
    prepare = TextPreprocessor(kept=Tokenizer.ids_used(CAPTIONS))
    row = prepare("a red dog")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(prepare))("a red dog"), row)


@pytest.mark.parametrize(
    ("item", "reason"),
    [(b"bytes", "bytes"), (None, "NoneType"), ("x" * 100_001, "100,001")],
)
def test_what_is_no_text_is_refused(item: object, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        TextPreprocessor()(item)


def test_lone_surrogates_become_the_replacement_character() -> None:
    """They reach a program from file names and broken JSON, and cannot be encoded."""
    assert Tokenizer().decode(TextPreprocessor()("a \udc80 dog")) == "a \ufffd dog"


def test_an_endless_word_costs_little() -> None:
    """Byte-pair merging is quadratic; a hostile word is cut before that shows."""
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 100_000)
    row = TextPreprocessor()("".join(letters))
    assert row.argmax() == 76
