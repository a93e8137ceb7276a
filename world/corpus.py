"""Text about the world without any picture: what the small language model first learns to read.

`text_corpus` mixes captions, descriptions, facts and small exercises in English and Chinese;
`instructions` are the same exercises as records of an Alpaca list. Scenes come from the training
split alone, so that no text joins a category with its held-out colour.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .assembly import Stream
from .captions import Language, capital, caption, captions
from .categories import CATEGORIES, CATEGORY_OF, Category
from .dialogues import CHINESE_SHARE, Instruction, describe, draw_questions
from .facts import GROUPS_EN, GROUPS_ZH, LORE, MIXTURES, MOVES, PLACE_FACTS
from .motion import MOTION_OF
from .phrases import (
    NUMBERS,
    PLACES,
    a_group,
    a_kind,
    called,
    colour_word,
    listed,
    plural,
    several,
)
from .scene import Place, Scene, scene
from .splits import SPLIT_SIZE

GROUPS = tuple(GROUPS_EN)
LARGEST = len(NUMBERS["en"]) - 1  # largest number that sums reach

T = TypeVar("T")
Maker = Callable[[Language, Stream], T]


def text_corpus(seed: int, n: int) -> Iterator[str]:
    """Return short texts of one to seven sentences; the i-th depends on seed and i alone."""
    for i in range(n):
        stream = Stream(i, f"text corpus {seed}")
        yield _drawn(_DOCUMENTS, stream)(_language(stream), stream)


def instructions(seed: int, n: int) -> Iterator[Instruction]:
    """Return exercises that need no picture; the i-th depends on seed and i alone."""
    for i in range(n):
        stream = Stream(i, f"instructions {seed}")
        yield _drawn(_EXERCISES, stream)(_language(stream), stream)


def _language(stream: Stream) -> Language:
    """Draw a language."""
    return "zh" if stream.chance(CHINESE_SHARE) else "en"


def _drawn(weighted: Sequence[tuple[float, T]], stream: Stream) -> T:
    """Draw one of several by their weights."""
    rest = stream.uniform(0.0, sum(weight for weight, _ in weighted))
    for weight, value in weighted:
        rest -= weight
        if rest < 0:
            return value
    return weighted[-1][1]


def _scene(stream: Stream) -> Scene:
    """Draw a scene of the training split."""
    return scene(stream.integer(SPLIT_SIZE))


def _some(n: int, values: Sequence[T], stream: Stream) -> list[T]:
    """Draw distinct values."""
    rest = list(values)
    return [rest.pop(stream.integer(len(rest))) for _ in range(n)]


def _joined(sentences: Sequence[str], language: Language) -> str:
    """Put sentences one after the other."""
    return ("" if language == "zh" else " ").join(sentences)


# -- documents ---------------------------------------------------------------------------------


def _caption(language: Language, stream: Stream) -> str:
    """Any caption of a scene."""
    return stream.choice([c.text for c in captions(_scene(stream)) if c.language == language])


def _story(language: Language, stream: Stream) -> str:
    """A description of a scene."""
    return describe(_scene(stream), language, stream)


def _interview(language: Language, stream: Stream) -> str:
    """A caption, and questions that it answers."""
    of = _scene(stream)
    said = [_sentence(caption(of, language), language)]
    for asked in _some(1 + stream.integer(3), draw_questions(of, language, stream), stream):
        said += [asked.question, asked.sentence]
    return _joined(said, language)


def _sentence(words: str, language: Language) -> str:
    """Make a sentence of a caption."""
    return f"{words}。" if language == "zh" else f"{capital(words)}."


def _facts(language: Language, stream: Stream) -> str:
    """Some of what is known about one category."""
    of = stream.choice(CATEGORIES)
    name, kind, lore = called(of.name, language), a_kind(of.name, language), LORE[language][of.name]
    move = MOVES[language][MOTION_OF[of.name]]
    if language == "zh":
        known = [
            f"{name}是一种{GROUPS_ZH[of.group]}。",
            f"{name}会{lore.sound}。",
            f"{name}{lore.use}。",
            f"{lore.where}常有{name}。",
            f"{name}会{move}。",
            f"听到{lore.heard}，就知道有{kind}。",
        ]
    else:
        known = [
            f"{capital(kind)} is {a_group(of.group, language)}.",
            f"{capital(kind)} {lore.sound}.",
            f"{capital(kind)} {lore.use}.",
            f"You can find {kind} {lore.where}.",
            f"{capital(kind)} {move}.",
            f"When you hear {lore.heard}, there is {kind}.",
        ]
    return _joined(_some(1 + stream.integer(4), known, stream), language)


def _group(language: Language, stream: Stream) -> str:
    """Some categories of one group."""
    group = stream.choice(GROUPS)
    members = _some(2 + stream.integer(3), _members(group), stream)
    if language == "zh":
        names = listed([of.name_zh for of in members], language)
        return f"{names}都是{GROUPS_ZH[group]}。"
    names = listed([plural(of.name) for of in members], language)
    return f"{capital(names)} are {GROUPS_EN[group][1]}."


def _place(language: Language, stream: Stream) -> str:
    """Some of what is known about one place."""
    facts = PLACE_FACTS[language][stream.choice(tuple(Place))]
    return _joined(_some(1 + stream.integer(len(facts)), facts, stream), language)


def _exercise(language: Language, stream: Stream) -> str:
    """An exercise with its solution, a line each."""
    made = _drawn(_EXERCISES, stream)(language, stream)
    return "\n".join(part for part in (made.instruction, made.input, made.output) if part)


# -- exercises ---------------------------------------------------------------------------------


def _knowing(language: Language, stream: Stream) -> Instruction:
    """What is known about one category."""
    of = stream.choice(CATEGORIES)
    name, kind, lore = called(of.name, language), a_kind(of.name, language), LORE[language][of.name]
    move = MOVES[language][MOTION_OF[of.name]]
    if language == "zh":
        pairs = (
            (f"{name}会发出什么声音？", f"{name}会{lore.sound}。"),
            (f"{name}是什么？", f"{name}是一种{GROUPS_ZH[of.group]}。"),
            (f"在哪里常有{name}？", f"{lore.where}常有{name}。"),
            (f"{name}怎么动？", f"{name}会{move}。"),
            (f"请介绍一下{name}。", f"{name}是一种{GROUPS_ZH[of.group]}。它{lore.use}。"),
            (f"什么东西会{lore.sound}？", f"{name}会{lore.sound}。"),
        )
    else:
        first = capital(kind)
        group = a_group(of.group, language)
        pairs = (
            (f"What sound does {kind} make?", f"{first} {lore.sound}."),
            (f"What is {kind}?", f"{first} is {group}."),
            (f"Where can you find {kind}?", f"You can find {kind} {lore.where}."),
            (f"How does {kind} move?", f"{first} {move}."),
            (f"Tell me something about {plural(name)}.", f"{first} is {group}. It {lore.use}."),
            (f"Name something that {lore.sound}.", f"{first} {lore.sound}."),
        )
    instruction, output = stream.choice(pairs)
    return Instruction(instruction=instruction, output=output)


def _hearing(language: Language, stream: Stream) -> Instruction:
    """Who makes a sound that is described."""
    of = stream.choice(CATEGORIES)
    kind, heard = a_kind(of.name, language), LORE[language][of.name].heard
    if language == "zh":
        asks = ("是什么在发出这个声音？", "这是什么的声音？", "你听到了什么？")
        says = (f"是{kind}在发出声音。", f"这是{kind}。")
    else:
        asks = ("What is making this sound?", "What do you hear?", "What sounds like this?")
        says = (f"{capital(kind)} is making the sound.", f"It is {kind}.")
    return Instruction(instruction=stream.choice(asks), input=heard, output=stream.choice(says))


def _reading(language: Language, stream: Stream) -> Instruction:
    """A question about a scene that is described in words."""
    of = _scene(stream)
    asked = stream.choice(draw_questions(of, language, stream))
    passage = _sentence(caption(of, language), language)
    return Instruction(instruction=asked.question, input=passage, output=asked.sentence)


def _shortening(language: Language, stream: Stream) -> Instruction:
    """A caption out of a description."""
    of = _scene(stream)
    asks = (
        ("请用几个字概括。", "请把它缩短。")
        if language == "zh"
        else ("Say it in a few words.", "Make it shorter.")
    )
    return Instruction(
        instruction=stream.choice(asks),
        input=describe(of, language, stream),
        output=caption(of, language),
    )


def _translating(language: Language, stream: Stream) -> Instruction:
    """Words or a caption in the other language; the task is set in ``language``."""
    to: Language = stream.choice(("en", "zh"))
    source: Language = "zh" if to == "en" else "en"
    if stream.chance(0.5):
        of = _scene(stream)
        given, wanted = caption(of, source), caption(of, to)
    else:
        name = stream.choice(CATEGORIES).name
        given, wanted = a_kind(name, source), a_kind(name, to)
    if language == "zh":
        ask = "请翻译成英文。" if to == "en" else "请翻译成中文。"
    else:
        ask = "Translate into English." if to == "en" else "Translate into Chinese."
    return Instruction(instruction=ask, input=given, output=wanted)


def _sorting(language: Language, stream: Stream) -> Instruction:
    """Members of groups: some of one, the odd one out, or whether something is a member."""
    group, other = _some(2, GROUPS, stream)
    members, odd = _some(3, _members(group), stream), stream.choice(_members(other))
    one, others = a_group(group, language), a_group(other, language)
    task = stream.integer(3)
    if task == 0:
        names = listed([a_kind(of.name, language) for of in members], language)
        ask = f"说出三种{one}。" if language == "zh" else f"Name three {GROUPS_EN[group][1]}."
        return Instruction(instruction=ask, output=_sentence(names, language))
    if task == 1:
        mixed = _some(4, [*members, odd], stream)
        names = listed([called(of.name, language) for of in mixed], language)
        if language == "zh":
            answer = f"{odd.name_zh}，因为它是{others}，别的都是{one}。"
            return Instruction(instruction="哪一个与别的不同类？", input=names, output=answer)
        answer = f"The {odd.name}: it is {others}. The others are {GROUPS_EN[group][1]}."
        return Instruction(instruction="Which one does not belong?", input=names, output=answer)
    asked = members[0] if stream.chance(0.5) else odd
    kind, true = a_kind(asked.name, language), asked is not odd
    if language == "zh":
        name = asked.name_zh
        answer = f"是的，{name}是{one}。" if true else f"不是，{name}是{others}。"
        return Instruction(instruction=f"{name}是{one}吗？", output=answer)
    answer = f"Yes, {kind} is {one}." if true else f"No, {kind} is {others}."
    return Instruction(instruction=f"Is {kind} {one}?", output=answer)


def _members(group: str) -> list[Category]:
    """Return the categories of a group."""
    return [of for of in CATEGORIES if of.group == group]


def _adding(language: Language, stream: Stream) -> Instruction:
    """A sum or a difference of small numbers, bare or of things."""
    plus = stream.chance(0.5)
    a = 2 + stream.integer(LARGEST - 3)
    b = 1 + stream.integer(LARGEST - a if plus else a - 1)
    result = a + b if plus else a - b
    numbers, name = NUMBERS[language], stream.choice(CATEGORIES).name
    if stream.chance(0.4):
        sign = ("加" if plus else "减") if language == "zh" else (" plus " if plus else " minus ")
        term = f"{numbers[a]}{sign}{numbers[b]}"
        if language == "zh":
            return Instruction(
                instruction=f"{term}等于几？", output=f"{term}等于{numbers[result]}。"
            )
        answer = f"{capital(term)} is {numbers[result]}."
        return Instruction(instruction=f"How much is {term}?", output=answer)
    total = several(result, name, language)
    if language == "zh":
        measure = CATEGORY_OF[name].measure_zh[1:]
        more = f"{'两' if b == 2 else numbers[b]}{measure}"
        change = f"又多了{more}" if plus else f"拿走了{more}"
        return Instruction(
            instruction=f"现在有几{measure}{called(name, language)}？",
            input=f"有{several(a, name, language)}，{change}。",
            output=f"现在有{total}。",
        )
    change = "more come" if plus else "go away"
    if b == 1:
        change = "more comes" if plus else "goes away"
    return Instruction(
        instruction=f"How many {plural(name)} are there now?",
        input=f"There are {several(a, name, language)}. {capital(numbers[b])} {change}.",
        output=f"There {'is' if result == 1 else 'are'} {total} now.",
    )


def _counting(language: Language, stream: Stream) -> Instruction:
    """How many things a list has."""
    things = _some(2 + stream.integer(4), CATEGORIES, stream)
    names = listed([a_kind(of.name, language) for of in things], language)
    if language == "zh":
        n = "两" if len(things) == 2 else NUMBERS["zh"][len(things)]
        return Instruction(instruction="这里有几样东西？", input=names, output=f"有{n}样东西。")
    answer = f"There are {NUMBERS['en'][len(things)]} things."
    return Instruction(instruction="How many things are these?", input=names, output=answer)


def _mixing(language: Language, stream: Stream) -> Instruction:
    """What two colours make."""
    a, b, result = (colour_word(colour, language) for colour in stream.choice(MIXTURES))
    if stream.chance(0.5):
        a, b = b, a
    if language == "zh":
        answer = f"{a}加{b}是{result}。"
        return Instruction(instruction=f"{a}加{b}是什么颜色？", output=answer)
    answer = f"{capital(a)} and {b} make {result}."
    return Instruction(instruction=f"Which colour do {a} and {b} make?", output=answer)


def _placing(language: Language, stream: Stream) -> Instruction:
    """What a place is like."""
    place = stream.choice(tuple(Place))
    where, fact = PLACES[language][place][0], stream.choice(PLACE_FACTS[language][place])
    ask = f"{where}是什么样的？" if language == "zh" else f"What is it like {where}?"
    return Instruction(instruction=ask, output=fact)


_EXERCISES: tuple[tuple[float, Maker[Instruction]], ...] = (
    (3.0, _knowing),
    (2.0, _hearing),
    (4.0, _reading),
    (1.0, _shortening),
    (1.5, _translating),
    (1.5, _sorting),
    (1.5, _adding),
    (0.7, _counting),
    (0.3, _mixing),
    (0.5, _placing),
)
_DOCUMENTS: tuple[tuple[float, Maker[str]], ...] = (
    (4.0, _caption),
    (3.0, _story),
    (4.0, _interview),
    (3.0, _facts),
    (1.0, _group),
    (0.7, _place),
    (4.0, _exercise),
)
