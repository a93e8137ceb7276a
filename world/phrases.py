"""The words that questions and answers about scenes are made of, in English and in Chinese.

A `Wording` holds the ways to ask one thing and the ways to answer it, with named gaps such as
``{name}`` (dog), ``{a_name}`` (a dog, 一只狗) and ``{things}`` (a dog and a cup).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .captions import (
    OPPOSITE_EN,
    OPPOSITE_ZH,
    PLACES_EN,
    PLACES_ZH,
    RELATIONS_EN,
    RELATIONS_ZH,
    Language,
    thing,
    thing_zh,
    with_article,
)
from .categories import CATEGORY_OF
from .colours import COLOUR_OF
from .facts import GROUPS_EN, GROUPS_ZH
from .scene import Place, Relation, SceneObject

NUMBERS: Mapping[Language, tuple[str, ...]] = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    "zh": ("零", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十"),
}
PLACES: Mapping[Language, Mapping[Place, tuple[str, ...]]] = {"en": PLACES_EN, "zh": PLACES_ZH}
RELATIONS: Mapping[Language, Mapping[Relation, str]] = {"en": RELATIONS_EN, "zh": RELATIONS_ZH}
OPPOSITES: Mapping[Language, Mapping[Relation, str]] = {"en": OPPOSITE_EN, "zh": OPPOSITE_ZH}
PLURALS: Mapping[str, str] = {
    "cactus": "cacti",
    "scissors": "scissors",
    "volcano": "volcanoes",
}


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Ways to ask for one thing and to answer."""

    ask: tuple[str, ...]
    short: str  # the answer in as few words as it takes
    say: tuple[str, ...]  # the answer as a sentence


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Ways to ask whether something is so; ``{claimed}`` is what is asked."""

    ask: tuple[str, ...]
    yes: tuple[str, ...]  # sentences
    no: tuple[str, ...]
    short: tuple[str, str]  # yes and no


WORDINGS: Mapping[Language, Mapping[str, Wording]] = {
    "en": {
        "category": Wording(  # of a scene's one object
            ask=("What is this?", "What is it?", "What can you see?", "What is in the picture?",
                 "What is shown here?", "What kind of thing is this?", "Name what you see."),
            short="{a_name}",
            say=("It is {a_name}.", "This is {a_name}.", "I can see {a_name}."),
        ),
        "categories": Wording(  # of a scene's two objects
            ask=("What can you see?", "What is in the picture?", "What is shown here?",
                 "Which things can you see?", "What things are in the picture?"),
            short="{things}",
            say=("I can see {things}.", "The picture shows {things}.", "There are {things}."),
        ),
        "neighbour": Wording(
            ask=("What is {beyond} the {name}?", "Which thing is {beyond} the {name}?"),
            short="{a_other}",
            say=("It is {a_other}.", "{A_other} is {beyond} the {name}."),
        ),
        "colour": Wording(
            ask=("What colour is the {name}?", "Which colour is the {name}?",
                 "What color is the {name}?", "What is the colour of the {name}?",
                 "Tell me the colour of the {name}."),
            short="{colour}",
            say=("The {name} is {colour}.",),
        ),
        "its colour": Wording(  # where there is no doubt what it is
            ask=("What colour is it?", "Which colour does it have?", "What color is this?"),
            short="{colour}",
            say=("It is {colour}.", "The {name} is {colour}."),
        ),
        "place": Wording(
            ask=("Where is the {name}?", "In what place is the {name}?",
                 "Where was the picture taken?", "What place is this?"),
            short="{place}",
            say=("The {name} is {place}.", "This is {place}."),
        ),
        "its place": Wording(
            ask=("Where is it?", "Where is this?", "Where was this picture taken?"),
            short="{place}",
            say=("It is {place}.", "The {name} is {place}."),
        ),
        "one": Wording(
            ask=("How many things are there?", "How many objects can you see?",
                 "How many things are in the picture?", "Count the objects."),
            short="one",
            say=("There is one thing: {a_name}.", "I can see one thing, {a_name}."),
        ),
        "two": Wording(
            ask=("How many things are there?", "How many objects can you see?",
                 "How many things are in the picture?", "Count the objects."),
            short="two",
            say=("There are two things: {things}.", "I can see two things, {things}."),
        ),
        "relation": Wording(
            ask=("Where is the {name}, seen from the {other}?",
                 "How does the {name} stand to the {other}?",
                 "On which side of the {other} is the {name}?"),
            short="{towards} the {other}",
            say=("The {name} is {towards} the {other}.",),
        ),
        "sides": Wording(
            ask=("Is the {name} to the left or to the right of the {other}?",),
            short="{towards} the {other}",
            say=("The {name} is {towards} the {other}.",),
        ),
        "sound": Wording(
            ask=("What sound does it make?", "How does it sound?", "What does it do?"),
            short="it {sound}",
            say=("{A_name} {sound}.", "It is {a_name}, and it {sound}."),
        ),
        "source": Wording(
            ask=("What makes a sound here?", "What is making the sound?", "What can be heard?",
                 "What would you hear here?"),
            short="{a_name}",
            say=("{A_name} is making the sound.", "It is {a_name}: it {sound}."),
        ),
        "group": Wording(
            ask=("What sort of thing is it?", "To what group does it belong?",
                 "What sort of thing is the {name}?"),
            short="{a_group}",
            say=("It is {a_group}.", "{A_name} is {a_group}."),
        ),
        "lore": Wording(
            ask=("Tell me something about it.", "What do you know about it?",
                 "What do you know about things like this?"),
            short="{A_name} {use}.",
            say=("{A_name} is {a_group}. It {sound}. It {use}.",
                 "This is {a_name}. It {use}, and it {sound}.",
                 "{A_name} {use}. You can find {a_name} {where}."),
        ),
    },
    "zh": {
        "category": Wording(
            ask=("这是什么？", "它是什么？", "你能看到什么？", "图中有什么？", "图里是什么东西？",
                 "这是什么东西？", "说出你看到的东西。"),
            short="{a_name}",
            say=("这是{a_name}。", "图中有{a_name}。", "我看到{a_name}。"),
        ),
        "categories": Wording(
            ask=("你能看到什么？", "图中有什么？", "图中有哪些东西？", "你看到了哪些东西？"),
            short="{things}",
            say=("图中有{things}。", "我看到{things}。"),
        ),
        "neighbour": Wording(
            ask=("{name}的{beyond}是什么？", "{name}的{beyond}有什么？"),
            short="{a_other}",
            say=("{name}的{beyond}是{a_other}。", "那是{a_other}。"),
        ),
        "colour": Wording(
            ask=("{name}是什么颜色的？", "{name}的颜色是什么？", "{name}是哪种颜色？",
                 "请说出{name}的颜色。"),
            short="{colour}",
            say=("{name}是{colour}的。",),
        ),
        "its colour": Wording(
            ask=("它是什么颜色的？", "这是什么颜色？", "它的颜色是什么？"),
            short="{colour}",
            say=("它是{colour}的。", "{name}是{colour}的。"),
        ),
        "place": Wording(
            ask=("{name}在哪里？", "{name}在什么地方？", "这张图片是在哪里拍的？",
                 "这是什么地方？"),
            short="{place}",
            say=("{name}在{place}。", "这是在{place}。"),
        ),
        "its place": Wording(
            ask=("它在哪里？", "这是在哪里？", "它在什么地方？"),
            short="{place}",
            say=("它在{place}。", "{name}在{place}。"),
        ),
        "one": Wording(
            ask=("图中有几个物体？", "你能看到几样东西？", "这里有几个物体？",
                 "数一数有几个物体。"),
            short="一个",
            say=("图中有一个物体：{a_name}。", "这里有一样东西，是{a_name}。"),
        ),
        "two": Wording(
            ask=("图中有几个物体？", "你能看到几样东西？", "这里有几个物体？",
                 "数一数有几个物体。"),
            short="两个",
            say=("图中有两个物体：{things}。", "这里有两样东西，是{things}。"),
        ),
        "relation": Wording(
            ask=("{name}在{other}的哪一边？", "从{other}看，{name}在哪里？",
                 "{name}在{other}的什么位置？"),
            short="{towards}",
            say=("{name}在{other}的{towards}。",),
        ),
        "sides": Wording(
            ask=("{name}在{other}的左边还是右边？",),
            short="{towards}",
            say=("{name}在{other}的{towards}。",),
        ),
        "sound": Wording(
            ask=("它会发出什么声音？", "它听起来怎么样？", "它会做什么？"),
            short="会{sound}",
            say=("{name}会{sound}。", "这是{a_name}，它会{sound}。"),
        ),
        "source": Wording(
            ask=("是什么在发出声音？", "这是什么发出的声音？", "这里会听到什么？",
                 "这个声音是什么发出的？"),
            short="{a_name}",
            say=("是{a_name}在发出声音。", "这是{a_name}，它会{sound}。"),
        ),
        "group": Wording(
            ask=("它属于哪一类？", "它是哪一类东西？", "{name}是哪一类东西？"),
            short="{a_group}",
            say=("它是{a_group}。", "{name}属于{a_group}。"),
        ),
        "lore": Wording(
            ask=("请介绍一下它。", "你知道它的什么？", "关于这样的东西，你知道什么？"),
            short="{name}{use}。",
            say=("{name}是一种{a_group}。它会{sound}。它{use}。",
                 "这是{a_name}。它{use}，还会{sound}。", "{name}{use}。{name}常在{where}。"),
        ),
    },
}  # fmt: skip
CLAIMS: Mapping[Language, Mapping[str, Claim]] = {
    "en": {
        "category": Claim(
            ask=("Is there {claimed} here?", "Can you see {claimed}?",
                 "Is there {claimed} in the picture?"),
            yes=("I can see {things}, so yes.", "The picture shows {things}, so yes."),
            no=("I can see {things}, so no.", "The picture shows {things}, so no."),
            short=("yes", "no"),
        ),
        "identity": Claim(
            ask=("Is this {claimed}?", "Is it {claimed}?"),
            yes=("It is {a_name}, so yes.", "This is {a_name}, so yes."),
            no=("It is {a_name}, so no.", "This is {a_name}, so no."),
            short=("yes", "no"),
        ),
        "colour": Claim(
            ask=("Is the {name} {claimed}?", "Is the colour of the {name} {claimed}?"),
            yes=("The {name} is {colour}, so yes.", "It is {colour}, so yes."),
            no=("The {name} is {colour}, so no.", "It is {colour}, so no."),
            short=("yes", "no"),
        ),
        "place": Claim(
            ask=("Is the {name} {claimed}?", "Was the picture taken {claimed}?",
                 "Is this {claimed}?"),
            yes=("The {name} is {place}, so yes.", "It is {place}, so yes."),
            no=("The {name} is {place}, so no.", "It is {place}, so no."),
            short=("yes", "no"),
        ),
        "two": Claim(
            ask=("Are there two things?", "Can you see two objects?"),
            yes=("I can see {things}, so yes.",),
            no=("I can see {things}, so no.",),
            short=("yes", "no"),
        ),
    },
    "zh": {
        "category": Claim(
            ask=("图中有{claimed}吗？", "你能看到{claimed}吗？", "这里有{claimed}吗？"),
            yes=("我看到{things}，所以有。",),
            no=("我看到{things}，所以没有。",),
            short=("有", "没有"),
        ),
        "identity": Claim(
            ask=("这是{claimed}吗？", "它是{claimed}吗？"),
            yes=("我看到{a_name}，所以是的。",),
            no=("我看到{a_name}，所以不是。",),
            short=("是的", "不是"),
        ),
        "colour": Claim(
            ask=("{name}是{claimed}的吗？", "{name}的颜色是{claimed}吗？"),
            yes=("我看到{colour}的{name}，所以是的。",),
            no=("我看到{colour}的{name}，所以不是。",),
            short=("是的", "不是"),
        ),
        "place": Claim(
            ask=("{name}是在{claimed}吗？", "这张图片是在{claimed}拍的吗？", "这是在{claimed}吗？"),
            yes=("{name}在{place}，所以是的。", "它在{place}，所以是的。"),
            no=("{name}在{place}，所以不是。", "它在{place}，所以不是。"),
            short=("是的", "不是"),
        ),
        "two": Claim(
            ask=("图中有两个物体吗？", "这里有两样东西吗？"),
            yes=("我看到{things}，所以有。",),
            no=("我看到{things}，所以没有。",),
            short=("有", "没有"),
        ),
    },
}  # fmt: skip
HINTS: Mapping[Language, tuple[str, ...]] = {  # put after a question
    "en": (" Answer in a few words.", " Answer briefly."),
    "zh": ("请简短回答。", "请用几个字回答。"),
}
CAPTION_REQUESTS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Write a caption for the picture.",
        "Describe the picture in a few words.",
        "What does the picture show, in a few words?",
    ),
    "zh": ("请为这张图片写一个标题。", "请用几个字描述这张图片。", "这张图片简单地说是什么？"),
}
DESCRIPTION_REQUESTS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Describe the picture.",
        "Describe it.",
        "Describe what you see in two or three sentences.",
        "Tell me about this picture.",
    ),
    "zh": (
        "请描述这张图片。",
        "请描述一下。",
        "请用两三句话描述你看到的东西。",
        "请介绍这张图片。",
    ),
}


def plural(name: str) -> str:
    """Return the plural of an English name: buses, puppies, cacti."""
    if name in PLURALS:
        return PLURALS[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def called(category: str, language: Language) -> str:
    """Name a category: dog, 狗."""
    return CATEGORY_OF[category].name_zh if language == "zh" else category


def a_kind(category: str, language: Language) -> str:
    """Name one thing of a category: a dog, 一只狗."""
    of = CATEGORY_OF[category]
    return f"{of.measure_zh}{of.name_zh}" if language == "zh" else with_article(of.name)


def a_thing(item: SceneObject, language: Language) -> str:
    """Name an object with its colour: a red dog, 一只红色的狗."""
    return thing_zh(item) if language == "zh" else with_article(thing(item))


def several(n: int, category: str, language: Language) -> str:
    """Count things of a category: two dogs, 两只狗.

    Args:
        n: 0 to 10.
        category: A category's name.
        language: Of the words.
    """
    of = CATEGORY_OF[category]
    if language == "zh":
        return f"{'两' if n == 2 else NUMBERS['zh'][n]}{of.measure_zh[1:]}{of.name_zh}"
    return f"{NUMBERS['en'][n]} {of.name if n == 1 else plural(of.name)}"


def a_group(group: str, language: Language) -> str:
    """Name one thing of a group: an animal, 动物."""
    return GROUPS_ZH[group] if language == "zh" else with_article(GROUPS_EN[group][0])


def colour_word(colour: str, language: Language) -> str:
    """Name a colour: red, 红色."""
    return COLOUR_OF[colour].name_zh if language == "zh" else colour


def listed(words: Sequence[str], language: Language) -> str:
    """Join words: a dog, a cat and a cup."""
    if language == "zh":
        return f"{'、'.join(words[:-1])}和{words[-1]}" if len(words) > 1 else words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
