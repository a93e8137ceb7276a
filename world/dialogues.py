"""Asking and telling about scenes: questions with answers, descriptions, instructions, chats.

Whatever is asked has one right answer, which follows from the scene's facts; `answered_rightly`
judges a free text against it. A false claim never joins a category with its held-out colour, so
that nothing written about a training scene names such a pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .assembly import Stream
from .captions import Language, capital, caption
from .categories import CATEGORY_NAMES, CATEGORY_OF
from .colours import COLOUR_NAMES
from .facts import LORE, SCENERY
from .mentions import Kind, mentions, named
from .phrases import (
    CAPTION_REQUESTS,
    CLAIMS,
    DESCRIPTION_REQUESTS,
    HINTS,
    OPPOSITES,
    PLACES,
    RELATIONS,
    WORDINGS,
    Wording,
    a_group,
    a_kind,
    a_thing,
    called,
    colour_word,
    listed,
)
from .scene import Place, Relation, Scene, SceneObject
from .splits import HELD_OUT_COLOUR

FIRST_COUNTS: frozenset[Kind] = frozenset({"yes/no", "count"})  # kinds whose first word is meant
CHINESE_SHARE = 0.4  # of instructions and conversations
SHORT_SHARE = 0.3  # of instructions about pictures that ask for a short answer
DESCRIBED_LORE = 0.7  # share of descriptions of one object that add what it is known for

Gaps = dict[str, str]  # what a template's gaps are filled with


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a scene with its one right answer."""

    kind: Kind
    language: Language
    question: str
    answer: str  # in as few words as it takes
    sentence: str  # the same as a sentence
    answers_accepted: tuple[str, ...]  # words of which a right answer has one: `answered_rightly`


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A task and its solution, as a record of an Alpaca list."""

    instruction: str
    input: str = ""  # what the task is about; empty where the instruction says it all
    output: str


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question of a conversation and the reply."""

    question: str
    answer: str
    scene: Scene | None = None  # whose picture is shown with the question; None: no new one


def questions(of: Scene, language: Language = "en") -> list[Question]:
    """Return the questions that are asked about a scene, the same on every call.

    There is one of each kind, but two of ``yes/no``, one to be affirmed and one to be denied, and
    ``relation`` for two objects only. Whether there are two objects counts as ``count``.
    """
    return draw_questions(of, language, Stream(of.id, f"dialogue questions {language}"))


def answered_rightly(question: Question, text: str) -> bool:
    """Return whether a text gives the right answer, in either language and in other words too.

    It must name what is right and nothing else of the same kind; categories that the question
    names do not count. Of numbers and of yes and no the first one in the text is the answer.
    """
    accepted = [mention for words in question.answers_accepted for mention in mentions(words)]
    kinds = {mention.kind for mention in accepted}
    given = [mention for mention in mentions(text) if mention.kind in kinds]
    if kinds <= FIRST_COUNTS:
        given = given[:1]
    values = {mention.value for mention in given}
    if kinds == {"category"}:
        values -= named(question.question, "category")
    return bool(values) and values <= {mention.value for mention in accepted}


def names_category(of: Scene, text: str) -> bool:
    """Return whether a text names a category of the scene, and none that is not in it."""
    values = named(text, "category")
    return bool(values) and values <= {item.category for item in of.objects}


def names_colour(of: Scene, text: str) -> bool:
    """Return whether a text names a colour of the scene, and none that is not in it.

    A colour right before a category of the scene (*a red dog*, 红色的狗) must be that object's.
    """
    colour_of = {item.category: item.colour for item in of.objects}
    found = mentions(text)
    for colour, thing in zip(found, found[1:], strict=False):
        beside = text[colour.end : thing.start].strip() in ("", "的")
        if colour.kind == "colour" and thing.kind == "category" and beside:
            if colour_of.get(thing.value, colour.value) != colour.value:
                return False
    values = named(text, "colour")
    return bool(values) and values <= set(colour_of.values())


def description(of: Scene, language: Language = "en") -> str:
    """Return two or three sentences about a scene, the same on every call.

    They name every object with its colour, the relation of two objects and the place; they may end
    with something that is known about the objects.
    """
    return describe(of, language, Stream(of.id, f"dialogue description {language}"))


def describe(of: Scene, language: Language, stream: Stream) -> str:
    """Return a description as `description` does, its words drawn from a stream."""
    tell = _tell_of_one if of.relation is None else _tell_of_two
    return ("" if language == "zh" else " ").join(tell(of, language, stream))


def visual_instructions(of: Scene, stream: Stream) -> list[Instruction]:
    """Return tasks about the picture of a scene, all in one language, which is drawn.

    Every question of `questions` is among them in wording drawn anew, with an answer in a sentence
    or, where that is asked for, in a few words; besides a caption, a description and, for one
    object, its sound, its group and what is known about it.
    """
    language: Language = "zh" if stream.chance(CHINESE_SHARE) else "en"
    made = [
        _instruction(asked.question, asked.answer, asked.sentence, language, stream)
        for asked in draw_questions(of, language, stream)
    ]
    made.append(
        Instruction(
            instruction=stream.choice(CAPTION_REQUESTS[language]), output=caption(of, language)
        )
    )
    made.append(
        Instruction(
            instruction=stream.choice(DESCRIPTION_REQUESTS[language]),
            output=describe(of, language, stream),
        )
    )
    if of.relation is None:
        gaps = _gaps(of, language, 0)
        for topic in ("sound", "source", "group", "lore"):
            ask, short, sentence = _worded(WORDINGS[language][topic], gaps, stream)
            made.append(_instruction(ask, short, sentence, language, stream))
    return made


def conversation(of: Scene, stream: Stream, second: Scene | None = None) -> list[Turn]:
    """Return a chat about one picture, or about two of which the second is shown later on.

    Args:
        of: What the first turn shows.
        stream: Decides what is asked, in which words and in which language.
        second: What a later turn shows, when there is one. The chat then comes back to the first.
    """
    language: Language = "zh" if stream.chance(CHINESE_SHARE) else "en"
    chinese = language == "zh"
    turns = _about(of, language, stream, follow_ups=1 + stream.integer(3))
    if second is not None:
        shown = _about(second, language, stream, follow_ups=stream.integer(3))
        look = stream.choice(
            ("再看这张。", "还有这张：") if chinese else ("Now this one. ", "Next. ")
        )
        turns.append(Turn(question=look + shown[0].question, answer=shown[0].answer, scene=second))
        turns += shown[1:]
        turns.append(_recall(of, language))
        if stream.chance(0.5):
            turns.append(_same_place(of, second, language))
    if stream.chance(0.3):
        thanks = ("谢谢。", "不客气。") if chinese else ("Thank you.", "You are welcome.")
        turns.append(Turn(question=thanks[0], answer=thanks[1]))
    return turns


def draw_questions(of: Scene, language: Language, stream: Stream) -> list[Question]:
    """Return questions as `questions` does, object and words drawn from a stream."""
    subject = stream.integer(len(of.objects))
    item = of.objects[subject]
    gaps = _gaps(of, language, subject)
    alone = of.relation is None

    def ask(kind: Kind, topic: str, accepted: Sequence[str]) -> Question:
        question, answer, sentence = _worded(WORDINGS[language][topic], gaps, stream)
        return Question(
            kind=kind,
            language=language,
            question=question,
            answer=answer,
            sentence=sentence,
            answers_accepted=tuple(accepted),
        )

    if alone:
        asked = [ask("category", "category", _names(item, language))]
    elif stream.chance(0.5):
        asked = [ask("category", "neighbour", _names(of.objects[1 - subject], language))]
    else:
        both = [name for one in of.objects for name in _names(one, language)]
        asked = [ask("category", "categories", both)]
    its = alone and stream.chance(0.5)
    asked.append(ask("colour", "its colour" if its else "colour", [gaps["colour"]]))
    its = alone and stream.chance(0.5)
    asked.append(ask("place", "its place" if its else "place", PLACES[language][of.place]))
    truth = stream.chance(0.5)
    for true in (truth, not truth):
        asked.append(_claim(of, item, true, language, gaps, stream))
    if stream.chance(0.5):
        asked.append(_claimed("count", "two", not alone, language, gaps, stream))
    else:
        topic = "one" if alone else "two"
        asked.append(ask("count", topic, [WORDINGS[language][topic].short]))
    if of.relation is not None:
        sides = of.relation is not Relation.FRONT and stream.chance(0.5)
        asked.append(ask("relation", "sides" if sides else "relation", [gaps["towards"]]))
    return asked


def _claim(
    of: Scene, item: SceneObject, true: bool, language: Language, gaps: Gaps, stream: Stream
) -> Question:
    """Ask whether something is so that is, or is not: what there is, its colour, the place.

    Every wrong value is as likely as any other, so that nobody can tell without looking.
    """
    topic = stream.choice(("category", "colour", "place"))
    if topic == "category":
        present = {one.category for one in of.objects}
        absent = [name for name in CATEGORY_NAMES if name not in present]
        claimed = a_kind(item.category if true else stream.choice(absent), language)
        if of.relation is None and stream.chance(0.5):
            topic = "identity"
    elif topic == "colour":
        others = [
            colour
            for colour in COLOUR_NAMES
            if colour not in (item.colour, HELD_OUT_COLOUR[item.category])
        ]
        claimed = colour_word(item.colour if true else stream.choice(others), language)
    else:
        elsewhere = [place for place in Place if place is not of.place]
        claimed = PLACES[language][of.place if true else stream.choice(elsewhere)][0]
    return _claimed("yes/no", topic, true, language, gaps | {"claimed": claimed}, stream)


def _claimed(
    kind: Kind, topic: str, true: bool, language: Language, gaps: Gaps, stream: Stream
) -> Question:
    """Ask whether something is so, and affirm or deny it."""
    claim = CLAIMS[language][topic]
    short = claim.short[0 if true else 1]
    return Question(
        kind=kind,
        language=language,
        question=stream.choice(claim.ask).format_map(gaps),
        answer=short,
        sentence=stream.choice(claim.yes if true else claim.no).format_map(gaps),
        answers_accepted=(short,),
    )


def _gaps(of: Scene, language: Language, subject: int) -> Gaps:
    """Return what fills the gaps of a template that speaks of one of the objects."""
    item = of.objects[subject]
    lore = LORE[language][item.category]
    kinds = [a_kind(one.category, language) for one in of.objects]
    gaps = {
        "name": called(item.category, language),
        "a_name": kinds[subject],
        "A_name": capital(kinds[subject]),
        "things": listed(kinds, language),
        "colour": colour_word(item.colour, language),
        "place": PLACES[language][of.place][0],
        "a_group": a_group(CATEGORY_OF[item.category].group, language),
        "sound": lore.sound,
        "use": lore.use,
        "where": lore.where,
    }
    if of.relation is not None:
        ways = (RELATIONS[language][of.relation], OPPOSITES[language][of.relation])
        gaps |= {
            "other": called(of.objects[1 - subject].category, language),
            "a_other": kinds[1 - subject],
            "A_other": capital(kinds[1 - subject]),
            "towards": ways[subject],  # where the subject is, seen from the other
            "beyond": ways[1 - subject],  # where the other is, seen from the subject
        }
    return gaps


def _worded(wording: Wording, gaps: Gaps, stream: Stream) -> tuple[str, str, str]:
    """Draw a question, and its answer in short and as a sentence."""
    ask, say = stream.choice(wording.ask), stream.choice(wording.say)
    return ask.format_map(gaps), wording.short.format_map(gaps), say.format_map(gaps)


def _names(item: SceneObject, language: Language) -> tuple[str, ...]:
    """Return all names of an object's category."""
    category = CATEGORY_OF[item.category]
    return (category.name_zh,) if language == "zh" else (category.name, *category.synonyms)


def _instruction(
    ask: str, short: str, sentence: str, language: Language, stream: Stream
) -> Instruction:
    """Ask for a short answer, or plainly for a sentence."""
    if stream.chance(SHORT_SHARE):
        return Instruction(instruction=ask + stream.choice(HINTS[language]), output=short)
    return Instruction(instruction=ask, output=sentence)


def _tell_of_one(of: Scene, language: Language, stream: Stream) -> list[str]:
    """Return the sentences that describe a scene of one object."""
    (item,) = of.objects
    what, name = a_thing(item, language), called(item.category, language)
    place = stream.choice(PLACES[language][of.place])
    scenery, lore = SCENERY[language][of.place], LORE[language][item.category]
    if language == "zh":
        openings = (
            f"这张图片里有{what}，它在{place}。",
            f"{place}有{what}。",
            f"{what}在{place}。",
        )
        known = (f"{name}{lore.use}。", f"{name}会{lore.sound}。")
    else:
        openings = (
            f"This picture shows {what} {place}.",
            f"There is {what} {place}.",
            f"{capital(what)} can be seen {place}.",
        )
        scenery = scenery.format(it=stream.choice(("it", f"the {name}")))
        kind = capital(a_kind(item.category, language))
        known = (f"{kind} {lore.use}.", f"{kind} {lore.sound}.")
    sentences = [stream.choice(openings), scenery]
    return [*sentences, stream.choice(known)] if stream.chance(DESCRIBED_LORE) else sentences


def _tell_of_two(of: Scene, language: Language, stream: Stream) -> list[str]:
    """Return the sentences that describe a scene of two objects."""
    assert of.relation is not None
    first, second = (a_thing(item, language) for item in of.objects)
    relation, place = RELATIONS[language][of.relation], stream.choice(PLACES[language][of.place])
    around = SCENERY[language][of.place].format(it="them")
    more = stream.choice((around, _groups(of, language)))
    if language == "zh":
        openings = (
            f"{first}在{second}的{relation}。",
            f"这张图片里，{first}在{second}的{relation}。",
        )
        return [stream.choice(openings), f"它们在{place}。", more]
    openings = (
        f"This picture shows {first} {relation} {second}.",
        f"There is {first} {relation} {second}.",
    )
    return [stream.choice(openings), f"They are {place}.", more]


def _groups(of: Scene, language: Language) -> str:
    """Say to which groups two objects belong."""
    first, second = (CATEGORY_OF[item.category] for item in of.objects)
    a, b = a_group(first.group, language), a_group(second.group, language)
    if language == "zh":
        if first.group == second.group:
            return f"它们都是{a}。"
        return f"{first.name_zh}是{a}，{second.name_zh}是{b}。"
    if first.group == second.group:
        return f"Each of them is {a}."
    return f"The {first.name} is {a}, and the {second.name} is {b}."


def _about(of: Scene, language: Language, stream: Stream, follow_ups: int) -> list[Turn]:
    """Ask what a picture shows, then some more; the first turn shows it."""
    alone = of.relation is None
    gaps = _gaps(of, language, 0)
    asked = [(one.question, one.sentence) for one in draw_questions(of, language, stream)[1:]]
    if alone:
        for topic in ("sound", "group", "lore"):
            question, _, sentence = _worded(WORDINGS[language][topic], gaps, stream)
            asked.append((question, sentence))
    topic = "category" if alone else "categories"
    question, _, answer = _worded(WORDINGS[language][topic], gaps, stream)
    if stream.chance(0.3):
        question = stream.choice(DESCRIPTION_REQUESTS[language])
        answer = describe(of, language, stream)
    turns = [Turn(question=question, answer=answer, scene=of)]
    for _ in range(follow_ups):
        question, answer = asked.pop(stream.integer(len(asked)))
        turns.append(Turn(question=question, answer=answer))
    return turns


def _recall(of: Scene, language: Language) -> Turn:
    """Come back to the first picture."""
    things = listed([a_kind(item.category, language) for item in of.objects], language)
    if language == "zh":
        return Turn(question="第一张图片里有什么？", answer=f"第一张图片里有{things}。")
    return Turn(
        question="What was in the first picture?", answer=f"The first picture showed {things}."
    )


def _same_place(of: Scene, second: Scene, language: Language) -> Turn:
    """Ask whether two pictures were taken in the same place."""
    here, there = PLACES[language][of.place][0], PLACES[language][second.place][0]
    same = of.place is second.place
    if language == "zh":
        answer = f"是的，都在{here}。" if same else f"不是，第一张在{here}，第二张在{there}。"
        return Turn(question="两张图片是在同样的地方拍的吗？", answer=answer)
    answer = (
        f"Yes, both were taken {here}."
        if same
        else f"No, the first was taken {here}, the second {there}."
    )
    return Turn(question="Were both pictures taken in the same place?", answer=answer)
