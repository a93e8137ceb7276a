"""The tokenizer of llama-mini: byte pairs learnt from the world's texts, any other text in bytes.

An English token is at most a word with the space before it. A Chinese one is at most two
characters, as most Chinese words are, so that no token is a colour *and* a thing. What is neither
in the alphabet nor a token falls back to its UTF-8 bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from anybind.llm.prompt import CAPTION, format_prompt
from anybind.world.assembly import Stream
from anybind.world.corpus import instructions, text_corpus
from anybind.world.dialogues import conversation, visual_instructions
from anybind.world.scene import scene
from anybind.world.splits import split_ids

UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"  # where text cannot be split, opens and ends a text
BOS_ID, EOS_ID = 1, 2  # as LLaMA's
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
ASCII = tuple(map(chr, range(32, 127)))

HAN = r"\p{Han}+"
# what a token may span: a word, Chinese, one digit, marks, line ends, one other space
PIECES = rf" ?[A-Za-z]+|{HAN}|\d| ?[^\sA-Za-z\d\p{{Han}}]+|\n+|\s"
PARTICLE = "的"  # stands between a colour and a thing, and is a token of its own
RARE = 25  # pairs that are met less often in the sample are not worth a token


def sample_texts(n: int) -> Iterator[str]:
    """What the tokenizer is learnt from: ``n`` texts of the base, and the stages' words."""
    yield from text_corpus(0, n)
    for exercise in instructions(0, n // 5):
        yield from (exercise.instruction, exercise.input, exercise.output)
    for number in split_ids("train", n // 20):
        of, stream = scene(number), Stream(number, "tokenizer")
        for task in visual_instructions(of, stream):
            yield from (task.instruction, task.output)
        for turn in conversation(of, stream, scene(number + 1)):
            yield from (turn.question, turn.answer)
    for _ in range(RARE):
        yield from (format_prompt(CAPTION), format_prompt(CAPTION, CAPTION))


def learn_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn byte pairs; equal texts give equal tokenizers.

    Text is kept as it is: no space is put in front, none is lost, and decoding gives it back.
    """
    chinese: list[str] = []

    def without_chinese() -> Iterator[str]:
        for text in texts:
            runs = re.findall(r"[\u4e00-\u9fff]+", text)
            chinese.extend(runs)
            yield re.sub(r"[\u4e00-\u9fff]+", "\n", text) if runs else text

    words = _learn(without_chinese(), PIECES, alphabet=[*ASCII, "\n"])
    pairs = _learn(chinese, f"{PARTICLE}|[^{PARTICLE}]+", alphabet=[], longest=2)
    symbols = dict.fromkeys((UNKNOWN, BOS, EOS, *BYTES, *words.symbols, *pairs.symbols))
    found = Tokenizer(
        models.BPE(
            vocab={symbol: id for id, symbol in enumerate(symbols)},
            merges=[*words.merges, *pairs.merges],
            unk_token=UNKNOWN,
            byte_fallback=True,
        )
    )
    found.add_special_tokens([UNKNOWN, BOS, EOS])
    found.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    found.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    found.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, found.token_to_id(BOS))]
    )
    return found


class Pairs(NamedTuple):
    """Byte pairs, in the order they were learnt."""

    symbols: list[str]  # the alphabet, then what each pair becomes
    merges: list[tuple[str, str]]


def _learn(
    texts: Iterable[str], pieces: str, *, alphabet: list[str], longest: int | None = None
) -> Pairs:
    """Learn byte pairs inside pieces of texts."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=1 << 16,  # more than there are pairs that are not rare
        min_frequency=RARE,
        initial_alphabet=alphabet,
        max_token_length=longest,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    return Pairs(
        symbols=sorted(model["vocab"], key=model["vocab"].get),
        merges=[(first, second) for first, second in model["merges"]],
    )
