"""The fifty kinds of thing in the world, in six groups, with their words in two languages.

Synonyms are for captions only: everywhere else a category goes by its ``name``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from . import animals, household, instruments, nature, tools, vehicles
from .assembly import Builder

FULL_CIRCLE = 180.0  # degrees either side: recognisable from everywhere
FROM_THE_SIDE = 60.0  # degrees either side: flat, or with a front that matters


@dataclass(frozen=True, kw_only=True)
class Category:
    """A kind of thing: how to build it, how to show it and what to call it."""

    name: str
    name_zh: str
    group: str  # animals, vehicles, instruments, tools, household or nature
    measure_zh: str  # the Chinese measure word with its numeral one, as in 一只
    build: Builder
    synonyms: tuple[str, ...] = ()  # other English names
    turn: float = FULL_CIRCLE  # largest yaw away from its best side, degrees
    lift: tuple[float, float] = (0.0, 0.0)  # lowest and highest gap to the ground, of its size


CATEGORIES: tuple[Category, ...] = (
    Category(name="dog", name_zh="狗", group="animals", measure_zh="一只", build=animals.dog,
             synonyms=("puppy",)),
    Category(name="cat", name_zh="猫", group="animals", measure_zh="一只", build=animals.cat,
             synonyms=("kitten",), turn=110.0),
    Category(name="cow", name_zh="奶牛", group="animals", measure_zh="一头", build=animals.cow,
             synonyms=("bull",)),
    Category(name="horse", name_zh="马", group="animals", measure_zh="一匹", build=animals.horse,
             synonyms=("pony",)),
    Category(name="elephant", name_zh="大象", group="animals", measure_zh="一头",
             build=animals.elephant),
    Category(name="duck", name_zh="鸭子", group="animals", measure_zh="一只", build=animals.duck),
    Category(name="rooster", name_zh="公鸡", group="animals", measure_zh="一只",
             build=animals.rooster, synonyms=("cockerel",)),
    Category(name="snake", name_zh="蛇", group="animals", measure_zh="一条", build=animals.snake,
             synonyms=("serpent",)),
    Category(name="rabbit", name_zh="兔子", group="animals", measure_zh="一只",
             build=animals.rabbit, synonyms=("bunny", "hare")),
    Category(name="train", name_zh="火车", group="vehicles", measure_zh="一列",
             build=vehicles.train, synonyms=("locomotive", "steam train")),
    Category(name="car", name_zh="汽车", group="vehicles", measure_zh="一辆", build=vehicles.car,
             synonyms=("automobile",)),
    Category(name="bus", name_zh="公共汽车", group="vehicles", measure_zh="一辆",
             build=vehicles.bus, synonyms=("coach",)),
    Category(name="fire engine", name_zh="消防车", group="vehicles", measure_zh="一辆",
             build=vehicles.fire_engine, synonyms=("fire truck",)),
    Category(name="helicopter", name_zh="直升机", group="vehicles", measure_zh="一架",
             build=vehicles.helicopter, synonyms=("chopper",), lift=(0.0, 0.35)),
    Category(name="airplane", name_zh="飞机", group="vehicles", measure_zh="一架",
             build=vehicles.airplane, synonyms=("plane", "aeroplane"), lift=(0.05, 0.4)),
    Category(name="sailing boat", name_zh="帆船", group="vehicles", measure_zh="一艘",
             build=vehicles.sailing_boat, synonyms=("sailboat", "yacht")),
    Category(name="bicycle", name_zh="自行车", group="vehicles", measure_zh="一辆",
             build=vehicles.bicycle, synonyms=("bike",), turn=65.0),
    Category(name="rocket", name_zh="火箭", group="vehicles", measure_zh="一枚",
             build=vehicles.rocket, synonyms=("spaceship",), lift=(0.0, 0.3)),
    Category(name="tractor", name_zh="拖拉机", group="vehicles", measure_zh="一台",
             build=vehicles.tractor),
    Category(name="guitar", name_zh="吉他", group="instruments", measure_zh="一把",
             build=instruments.guitar, turn=FROM_THE_SIDE),
    Category(name="violin", name_zh="小提琴", group="instruments", measure_zh="一把",
             build=instruments.violin, synonyms=("fiddle",), turn=50.0),
    Category(name="drum", name_zh="鼓", group="instruments", measure_zh="一面",
             build=instruments.drum),
    Category(name="piano", name_zh="钢琴", group="instruments", measure_zh="一架",
             build=instruments.piano, turn=70.0),
    Category(name="trumpet", name_zh="小号", group="instruments", measure_zh="一把",
             build=instruments.trumpet, turn=FROM_THE_SIDE),
    Category(name="bell", name_zh="大钟", group="instruments", measure_zh="一口",
             build=instruments.bell, turn=70.0),
    Category(name="flute", name_zh="长笛", group="instruments", measure_zh="一支",
             build=instruments.flute, turn=50.0),
    Category(name="xylophone", name_zh="木琴", group="instruments", measure_zh="一架",
             build=instruments.xylophone),
    Category(name="hammer", name_zh="锤子", group="tools", measure_zh="一把", build=tools.hammer,
             turn=FROM_THE_SIDE),
    Category(name="saw", name_zh="锯子", group="tools", measure_zh="一把", build=tools.saw,
             synonyms=("handsaw",), turn=55.0),
    Category(name="drill", name_zh="电钻", group="tools", measure_zh="一把", build=tools.drill,
             synonyms=("power drill",), turn=FROM_THE_SIDE),
    Category(name="axe", name_zh="斧头", group="tools", measure_zh="一把", build=tools.axe,
             synonyms=("hatchet",), turn=50.0),
    Category(name="screwdriver", name_zh="螺丝刀", group="tools", measure_zh="一把",
             build=tools.screwdriver, turn=55.0),
    Category(name="scissors", name_zh="剪刀", group="tools", measure_zh="一把",
             build=tools.scissors, turn=50.0),
    Category(name="lawn mower", name_zh="割草机", group="tools", measure_zh="一台",
             build=tools.lawn_mower, synonyms=("grass cutter",)),
    Category(name="kettle", name_zh="水壶", group="household", measure_zh="一把",
             build=household.kettle, synonyms=("teakettle",), turn=75.0),
    Category(name="clock", name_zh="闹钟", group="household", measure_zh="一个",
             build=household.clock, synonyms=("alarm clock",), turn=55.0),
    Category(name="lamp", name_zh="台灯", group="household", measure_zh="一盏",
             build=household.lamp, synonyms=("table lamp",)),
    Category(name="chair", name_zh="椅子", group="household", measure_zh="一把",
             build=household.chair),
    Category(name="telephone", name_zh="电话", group="household", measure_zh="一部",
             build=household.telephone, synonyms=("phone",), turn=70.0),
    Category(name="vacuum cleaner", name_zh="吸尘器", group="household", measure_zh="一台",
             build=household.vacuum_cleaner, synonyms=("hoover",), turn=70.0),
    Category(name="washing machine", name_zh="洗衣机", group="household", measure_zh="一台",
             build=household.washing_machine, synonyms=("washer",), turn=55.0),
    Category(name="cup", name_zh="杯子", group="household", measure_zh="一个",
             build=household.cup, synonyms=("mug", "coffee cup"), turn=75.0),
    Category(name="fan", name_zh="电风扇", group="household", measure_zh="一台",
             build=household.fan, synonyms=("electric fan",), turn=60.0),
    Category(name="tree", name_zh="树", group="nature", measure_zh="一棵", build=nature.tree),
    Category(name="mushroom", name_zh="蘑菇", group="nature", measure_zh="一个",
             build=nature.mushroom, synonyms=("toadstool",)),
    Category(name="flower", name_zh="花", group="nature", measure_zh="一朵", build=nature.flower,
             synonyms=("blossom",), turn=60.0),
    Category(name="cactus", name_zh="仙人掌", group="nature", measure_zh="一棵",
             build=nature.cactus, turn=65.0),
    Category(name="volcano", name_zh="火山", group="nature", measure_zh="一座",
             build=nature.volcano),
    Category(name="campfire", name_zh="篝火", group="nature", measure_zh="一堆",
             build=nature.campfire, synonyms=("bonfire",)),
    Category(name="rain cloud", name_zh="乌云", group="nature", measure_zh="一朵",
             build=nature.rain_cloud, synonyms=("storm cloud",), turn=70.0, lift=(0.1, 0.3)),
)  # fmt: skip
CATEGORY_NAMES: tuple[str, ...] = tuple(category.name for category in CATEGORIES)
CATEGORY_OF: Mapping[str, Category] = {category.name: category for category in CATEGORIES}
