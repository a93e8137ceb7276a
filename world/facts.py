"""What is known about the things of the world beyond any one scene: lore, groups, places, motions.

The sounds and motions are those that `voices` and `motion` give the categories. No entry names
another category, a colour or one of the eight places, so that a text may quote it about any scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .captions import Language
from .scene import Place


@dataclass(frozen=True, kw_only=True)
class Lore:
    """What everybody knows about a category, in phrases that sentences are made of."""

    sound: str  # what it does when it is heard: barks; in Chinese what 会 goes before
    heard: str  # what is heard then: barking
    use: str  # what it does or has, from the verb on: guards the house
    where: str  # where one finds it: on a farm; in Chinese what 在 goes before


_LORE_EN: Mapping[str, tuple[str, str, str, str]] = {  # sound, heard, use, where
    "dog": ("barks", "barking", "guards the house", "on a farm"),
    "cat": ("meows", "meowing", "catches mice", "on a sofa"),
    "cow": ("moos", "mooing", "gives milk", "in a barn"),
    "horse": ("neighs and gallops", "neighing and hooves", "carries a rider", "in a stable"),
    "elephant": ("calls with its trunk", "a loud call", "carries heavy loads", "in a zoo"),
    "duck": ("quacks", "quacking", "swims and dives", "on a pond"),
    "rooster": ("crows", "crowing", "wakes the farm", "in a hen house"),
    "snake": ("hisses and rattles", "hissing and rattling", "swallows its food whole",
              "under a stone"),
    "rabbit": ("nibbles and thumps", "nibbling and thumping", "hops and eats carrots",
               "in a hutch"),
    "train": ("puffs and whistles", "puffing and whistling", "pulls wagons on rails",
              "at a station"),
    "car": ("revs and honks", "honking and a revving engine", "takes a family on a trip",
            "in a garage"),
    "bus": ("rumbles and hisses", "a big engine and hissing brakes", "takes many people to work",
            "at a stop"),
    "fire engine": ("wails with its siren", "a wailing siren", "brings water to a fire",
                    "at a fire station"),
    "helicopter": ("chops the air", "a chopping rotor", "has a rotor on its roof",
                   "on a landing pad"),
    "airplane": ("drones", "droning propellers", "flies high in the sky", "at an airport"),
    "sailing boat": ("creaks on the waves", "lapping waves and a creaking rope",
                     "is driven by the wind", "in a harbour"),
    "bicycle": ("ticks and rings", "ticking wheels and a short ring", "is moved with two pedals",
                "in a shed"),
    "rocket": ("roars", "a roaring launch", "flies into space", "on a launch pad"),
    "tractor": ("goes put, put, put", "a slow engine", "pulls a plough", "in a farmyard"),
    "guitar": ("plays chords", "strummed chords", "has six strings", "in a music shop"),
    "violin": ("sings under its bow", "a bowed melody", "has four strings and a bow",
               "in an orchestra"),
    "drum": ("beats a rhythm", "a beaten rhythm", "keeps the beat in a band", "on a stage"),
    "piano": ("plays melodies and chords", "a melody from many keys", "has many keys",
              "in a concert hall"),
    "trumpet": ("plays a fanfare", "a loud fanfare", "is made of brass", "in a brass band"),
    "bell": ("tolls", "slow tolling", "calls people to church", "in a tower"),
    "flute": ("plays a breathy tune", "a breathy tune", "is blown from the side",
              "in a music school"),
    "xylophone": ("plays quick wooden notes", "quick wooden notes", "has wooden bars",
                  "in a kindergarten"),
    "hammer": ("knocks", "knocks on a nail", "drives nails into wood", "in a toolbox"),
    "saw": ("rasps through wood", "rasping teeth in wood", "cuts boards", "in a workshop"),
    "drill": ("screams into the wall", "a screaming motor", "makes holes", "on a building site"),
    "axe": ("chops wood", "splintering wood", "splits logs", "beside a pile of logs"),
    "screwdriver": ("clicks and squeaks", "clicks and a squeaking screw", "turns screws",
                    "on a workbench"),
    "scissors": ("snips", "snipping blades", "cuts paper", "in a drawer"),
    "lawn mower": ("buzzes over the lawn", "a small engine and a rushing blade", "cuts the lawn",
                   "in a garden"),
    "kettle": ("boils and whistles", "boiling water and a rising whistle", "boils water for tea",
               "in a kitchen"),
    "clock": ("ticks and beeps", "ticking and beeping", "shows the time", "beside a bed"),
    "lamp": ("clicks and hums", "a click and a quiet hum", "gives light", "on a desk"),
    "chair": ("scrapes when it is moved", "scraping legs", "is for sitting", "at a table"),
    "telephone": ("rings", "ringing", "carries voices far away", "in an office"),
    "vacuum cleaner": ("howls", "a howling motor and rushing air", "sucks up dust", "in a hotel"),
    "washing machine": ("sloshes and tumbles", "sloshing water and tumbling clothes",
                        "washes clothes", "in a laundry"),
    "cup": ("clinks", "a clinking spoon", "holds coffee or tea", "in a cafe"),
    "fan": ("whirs", "whirring blades", "keeps people cool", "in a hot office"),
    "tree": ("rustles", "rustling leaves and a bird", "gives shade and wood", "in a park"),
    "mushroom": ("pops and squelches", "little pops", "grows after rain", "in damp moss"),
    "flower": ("draws buzzing bees", "a buzzing bee", "gives nectar to bees", "in a vase"),
    "cactus": ("hides chirping crickets", "chirping crickets", "keeps water in its stem",
               "in a dry land"),
    "volcano": ("rumbles", "a deep rumble", "throws out ash and lava", "on an island"),
    "campfire": ("crackles", "crackling flames", "keeps campers warm", "at a camp"),
    "rain cloud": ("patters and thunders", "rain and thunder", "brings rain", "in a stormy sky"),
}  # fmt: skip
_LORE_ZH: Mapping[str, tuple[str, str, str, str]] = {
    "dog": ("汪汪叫", "汪汪的叫声", "能看家", "农场里"),
    "cat": ("喵喵叫", "喵喵的叫声", "能捉老鼠", "沙发上"),
    "cow": ("哞哞叫", "哞哞的叫声", "能产牛奶", "牛棚里"),
    "horse": ("嘶叫和奔跑", "嘶叫声和蹄声", "能驮人赶路", "马厩里"),
    "elephant": ("用长鼻子大声叫", "响亮的叫声", "能搬运重物", "动物园里"),
    "duck": ("嘎嘎叫", "嘎嘎的叫声", "能游水", "池塘里"),
    "rooster": ("喔喔叫", "喔喔的叫声", "能叫人起床", "鸡窝里"),
    "snake": ("嘶嘶叫", "嘶嘶声和尾巴的响声", "能吞下整个食物", "石头下"),
    "rabbit": ("啃东西和跺脚", "啃东西和跺脚的声音", "能蹦跳，爱吃萝卜", "笼子里"),
    "train": ("喷气和鸣笛", "喷气声和汽笛声", "能在铁轨上拉车厢", "车站里"),
    "car": ("轰油门和按喇叭", "发动机声和喇叭声", "能带一家人出门", "车库里"),
    "bus": ("隆隆响和放气", "大发动机声和放气声", "能送很多人上班", "站台旁"),
    "fire engine": ("拉响警笛", "高低起伏的警笛声", "能送水灭火", "消防站里"),
    "helicopter": ("用旋翼拍打空气", "旋翼的突突声", "有一个大旋翼", "停机坪上"),
    "airplane": ("嗡嗡地飞", "螺旋桨的嗡嗡声", "能飞上高空", "机场里"),
    "sailing boat": ("在波浪上吱呀响", "波浪声和绳子声", "能借风前进", "港口里"),
    "bicycle": ("滴滴答答地转和响铃", "飞轮声和车铃声", "用脚踏板前进", "车棚里"),
    "rocket": ("轰鸣着升空", "升空的轰鸣声", "能飞向太空", "发射场里"),
    "tractor": ("突突响", "突突的发动机声", "能拉犁", "田边"),
    "guitar": ("奏出和弦", "拨弦的和弦声", "有六根弦", "乐器店里"),
    "violin": ("拉出旋律", "弓拉的旋律", "有四根弦和一把弓", "乐团里"),
    "drum": ("打出节奏", "敲打的节奏", "能给乐队打拍子", "舞台上"),
    "piano": ("弹出旋律与和弦", "许多琴键的琴声", "有许多琴键", "音乐厅里"),
    "trumpet": ("吹出号角曲", "响亮的号角曲", "是铜做的", "铜管乐队里"),
    "bell": ("当当响", "缓慢的当当声", "能叫人去教堂", "塔楼里"),
    "flute": ("吹出带气声的曲子", "带气声的曲子", "要横着吹", "音乐学校里"),
    "xylophone": ("敲出快速的木音", "快速的木音", "有木头做的琴条", "幼儿园里"),
    "hammer": ("咚咚地敲", "敲钉子的声音", "能把钉子敲进木头", "工具箱里"),
    "saw": ("在木头上沙沙地拉", "锯齿拉木头的声音", "能锯开木板", "木工房里"),
    "drill": ("尖声钻墙", "尖叫的电机声", "能打孔", "工地上"),
    "axe": ("砍木头", "木头裂开的声音", "能劈柴", "柴堆旁"),
    "screwdriver": ("咔咔转和吱吱响", "咔咔声和吱吱声", "能拧螺丝", "工作台上"),
    "scissors": ("咔嚓咔嚓地剪", "咔嚓咔嚓的声音", "能剪纸", "抽屉里"),
    "lawn mower": ("嗡嗡地割草", "小发动机和刀片的声音", "能修剪草坪", "院子里"),
    "kettle": ("烧开水和鸣叫", "水烧开的哨声", "能烧水泡茶", "厨房里"),
    "clock": ("滴答响和嘀嘀叫", "滴答声和嘀嘀声", "能报时间", "床边"),
    "lamp": ("咔哒一声亮起", "开关声和轻轻的嗡嗡声", "能照明", "书桌上"),
    "chair": ("在地上拖得吱吱响", "椅脚拖地的声音", "能坐人", "餐桌旁"),
    "telephone": ("铃铃响", "铃铃的铃声", "能把声音传到远方", "办公室里"),
    "vacuum cleaner": ("呼呼地吸气", "呼呼的电机声和气流声", "能吸灰尘", "酒店里"),
    "washing machine": ("哗哗地转", "水声和衣服翻滚的声音", "能洗衣服", "洗衣店里"),
    "cup": ("叮叮响", "勺子的叮叮声", "能装咖啡或茶", "咖啡馆里"),
    "fan": ("呼呼地转", "扇叶转动的声音", "能给人吹风", "炎热的教室里"),
    "tree": ("沙沙响", "叶子的沙沙声和鸟叫", "能给人遮阳", "公园里"),
    "mushroom": ("噗噗地冒出来", "小小的噗噗声", "在雨后生长", "潮湿的苔藓里"),
    "flower": ("引来嗡嗡的蜜蜂", "蜜蜂的嗡嗡声", "能给蜜蜂花蜜", "花瓶里"),
    "cactus": ("藏住唧唧叫的蟋蟀", "蟋蟀的唧唧声", "能在茎里存水", "干旱的地方"),
    "volcano": ("隆隆响", "低沉的隆隆声", "会喷出岩浆和灰", "岛屿上"),
    "campfire": ("噼啪响", "火焰的噼啪声", "能让人取暖", "营地里"),
    "rain cloud": ("打雷下雨", "雨声和雷声", "会带来雨水", "下雨的天空中"),
}


def _lore(table: Mapping[str, tuple[str, str, str, str]]) -> Mapping[str, Lore]:
    """Name the four columns of a table."""
    return {
        name: Lore(sound=sound, heard=heard, use=use, where=where)
        for name, (sound, heard, use, where) in table.items()
    }


LORE: Mapping[Language, Mapping[str, Lore]] = {"en": _lore(_LORE_EN), "zh": _lore(_LORE_ZH)}

GROUPS_EN: Mapping[str, tuple[str, str]] = {  # one of the group, and many
    "animals": ("animal", "animals"),
    "vehicles": ("vehicle", "vehicles"),
    "instruments": ("musical instrument", "musical instruments"),
    "tools": ("tool", "tools"),
    "household": ("household thing", "household things"),
    "nature": ("part of nature", "parts of nature"),
}
GROUPS_ZH: Mapping[str, str] = {
    "animals": "动物",
    "vehicles": "交通工具",
    "instruments": "乐器",
    "tools": "工具",
    "household": "家用物品",
    "nature": "自然景物",
}
MOVES: Mapping[Language, Mapping[str, str]] = {  # how things of a motion move
    "en": {
        "walk": "walks step by step",
        "drive": "rolls to and fro",
        "turn": "turns around",
        "strike": "moves in quick strokes",
        "shake": "trembles",
        "sway": "sways from side to side",
    },
    "zh": {
        "walk": "一步一步地走",
        "drive": "来回行驶",
        "turn": "转来转去",
        "strike": "一下一下地动",
        "shake": "不停地抖动",
        "sway": "摇来摇去",
    },
}
SCENERY: Mapping[Language, Mapping[Place, str]] = {  # what a picture shows around its objects
    "en": {
        Place.SNOW: "Flakes fall all around {it}.",
        Place.BEACH: "Behind {it} the sea reaches to the horizon.",
        Place.MEADOW: "Soft hills lie behind {it}.",
        Place.CITY: "Houses with many windows stand behind {it}.",
        Place.FOREST: "It is shady between the trunks behind {it}.",
        Place.DESERT: "There are dunes all around {it}.",
        Place.ROOM: "Behind {it} is a striped wall.",
        Place.MOON: "The sky above {it} is full of stars.",
    },
    "zh": {
        Place.SNOW: "天上正在下雪。",
        Place.BEACH: "后面的大海一直延伸到天边。",
        Place.MEADOW: "后面有平缓的山丘。",
        Place.CITY: "后面是有许多窗户的房子。",
        Place.FOREST: "后面的林子里很阴凉。",
        Place.DESERT: "四周都是沙丘。",
        Place.ROOM: "后面是有条纹的墙。",
        Place.MOON: "天上满是星星。",
    },
}
PLACE_FACTS: Mapping[Language, Mapping[Place, tuple[str, ...]]] = {
    "en": {
        Place.SNOW: ("Snow is cold.", "Snow falls in winter.", "People ski on snow."),
        Place.BEACH: ("A beach lies by the sea.", "Waves roll onto the beach.",
                      "People swim at the beach."),
        Place.MEADOW: ("Grass grows in a meadow.", "It is quiet in a meadow.",
                       "People rest on the grass in summer."),
        Place.CITY: ("Many people live in a city.", "A city has houses and streets.",
                     "It is loud on a city street."),
        Place.FOREST: ("It is shady in the forest.", "Birds sing in the woods.",
                       "People walk in the forest."),
        Place.DESERT: ("It is hot and dry in the desert.", "A desert has a lot of sand.",
                       "It hardly ever rains in the desert."),
        Place.ROOM: ("A room has a floor and walls.", "It is warm and dry indoors.",
                     "People live in rooms."),
        Place.MOON: ("There is no air on the moon.", "The moon goes around the earth.",
                     "It is quiet on the moon."),
    },
    "zh": {
        Place.SNOW: ("雪很冷。", "冬天会下雪。", "人们在雪地上滑雪。"),
        Place.BEACH: ("海滩在海边。", "波浪涌上海滩。", "人们在海滩上游泳。"),
        Place.MEADOW: ("草地上长着青草。", "草地上很安静。", "夏天人们在草地上休息。"),
        Place.CITY: ("城市里住着很多人。", "城市里有房子和街道。", "城市的街道上很吵。"),
        Place.FOREST: ("森林里很阴凉。", "鸟在树林里唱歌。", "人们在森林里散步。"),
        Place.DESERT: ("沙漠里又热又干。", "沙漠里有很多沙子。", "沙漠里很少下雨。"),
        Place.ROOM: ("房间有地板和墙。", "室内又暖和又干燥。", "人们住在房间里。"),
        Place.MOON: ("月球上没有空气。", "月球绕着地球转。", "月球上很安静。"),
    },
}  # fmt: skip
MIXTURES: tuple[tuple[str, str, str], ...] = (  # two paints and what they make
    ("red", "yellow", "orange"),
    ("blue", "yellow", "green"),
    ("red", "blue", "purple"),
    ("red", "white", "pink"),
    ("green", "red", "brown"),
)
