"""The data of llama-mini's stages, as the ordinary files that ``anybind train`` reads.

Pictures are of training scenes that no tower of imagebind-mini was trained on, so their vectors are
as good as those of any new picture and no better. Whatever is complete is kept, so making the data
resumes; its content depends on the amounts alone, as long as the code that makes it is the same.
Samples of it are made again at every start, and a folder where they came out otherwise is refused.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from gallery import map_media
from PIL import Image
from tqdm import tqdm

from anybind.cores import available_cores
from anybind.encoders.modality import Modality
from anybind.files import atomic_path, write_atomically
from anybind.llm.records import MARKER
from anybind.world.assembly import Stream
from anybind.world.captions import Language, caption
from anybind.world.corpus import instructions
from anybind.world.dialogues import (
    CHINESE_SHARE,
    Instruction,
    conversation,
    describe,
    visual_instructions,
)
from anybind.world.media import medium
from anybind.world.phrases import CAPTION_REQUESTS, DESCRIPTION_REQUESTS
from anybind.world.scene import Scene, scene
from anybind.world.splits import split_ids

FIRST = 100_000  # scene of the training split; imagebind-mini was trained on the first 60,000
SIZE = 96  # pixels a side, what imagebind-mini reads
JPEG_QUALITY = 90
SCENES_PER_SHARD = 1000
TASKS_PER_SCENE = 3  # of the dozen that can be set about a picture
SECOND_SHARE = 0.4  # of the chats that are about two pictures
SAMPLED = 20  # records of each list that tell whether the code still makes the same
SAMPLED_PICTURES = 3  # as many pictures, with their captions

CAPTIONS = "captions"  # webdataset shards: a picture and its English caption
CAPTIONS_ZH = "captions_zh.json"  # asked for and given in Chinese
TASKS = "tasks.json"  # about pictures
EXERCISES = "exercises.json"  # without any picture
DESCRIPTIONS = "descriptions.json"
CHATS = "chats.json"

Record = Mapping[str, object]  # of a JSON list


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much data the stages have."""

    scenes: int = 60_000  # with a picture
    exercises: int = 40_000
    descriptions: int = 2_000
    chats: int = 20_000

    def scaled(self, share: float) -> "Amounts":
        """A share of everything, but not nothing."""
        return Amounts(
            scenes=max(20, int(self.scenes * share)),
            exercises=max(20, int(self.exercises * share)),
            descriptions=max(20, int(self.descriptions * share)),
            chats=max(20, int(self.chats * share)),
        )


def write_stage_data(folder: Path, amounts: Amounts) -> None:
    """Write pictures, shards and lists that are not there yet.

    Raises:
        SystemExit: The folder holds another amount of data, or data of other code.
    """
    ids = split_ids("train", amounts.scenes, offset=FIRST)
    scenes = [scene(number) for number in tqdm(ids, "scenes", unit=" scenes", leave=False)]
    _claim(folder, amounts, scenes)
    write_pictures(folder, ids)
    for name, records in lists(scenes, amounts).items():
        if not (folder / name).exists():
            content = json.dumps(list(records), ensure_ascii=False, indent=0)
            write_atomically(folder / name, content.encode())


def lists(scenes: Sequence[Scene], amounts: Amounts) -> Mapping[str, Iterable[Record]]:
    """The records of every list, by the name of its file; each is made when it is asked for."""
    return {
        CAPTIONS_ZH: map(chinese_caption, scenes),
        TASKS: (record for of in scenes for record in tasks(of)),
        EXERCISES: map(alpaca, instructions(FIRST, amounts.exercises)),
        DESCRIPTIONS: map(described, scenes[-amounts.descriptions :]),
        CHATS: chats(scenes, amounts.chats),
    }


def _claim(folder: Path, amounts: Amounts, scenes: Sequence[Scene]) -> None:
    """Note in the folder what it is for, or check that it is for the same."""
    note = folder / "amounts.json"
    wanted = {"amounts": vars(amounts), "content": _sampled(scenes, amounts)}
    if not note.exists():
        write_atomically(note, json.dumps(wanted).encode())
        return
    found = json.loads(note.read_text())
    if found == wanted:
        return
    if found.get("amounts", found) != wanted["amounts"]:
        raise SystemExit(f"{folder} is for {found.get('amounts', found)}; choose another --out")
    raise SystemExit(
        f"{folder} holds data of other code, which made other pictures or texts; choose another "
        "--out, or remove the folder"
    )


def _sampled(scenes: Sequence[Scene], amounts: Amounts) -> str:
    """A fingerprint of the first records of each list, and of a few pictures with captions."""
    digest = hashlib.sha256(json.dumps([SIZE, JPEG_QUALITY]).encode())
    for of in islice(scenes, 0, None, -(-len(scenes) // SAMPLED_PICTURES)):
        picture = np.asarray(medium(Modality.IMAGE, of, SIZE), np.uint8)
        digest.update(picture.tobytes() + caption(of).encode())
    for name, records in lists(scenes, amounts).items():
        digest.update(json.dumps([name, *islice(records, SAMPLED)]).encode())
    return "sha256:" + digest.hexdigest()


# ------------------------------------------------------------------------------ pictures


def write_pictures(folder: Path, ids: Sequence[int]) -> None:
    """Write each scene's picture, alone for the lists and with its caption into a shard."""
    starts = range(0, len(ids), SCENES_PER_SHARD)
    with tqdm(total=len(ids), desc="pictures", unit=" scenes") as bar:
        for number, start in enumerate(starts):
            some = [scene(i) for i in ids[start : start + SCENES_PER_SHARD]]
            shard = folder / CAPTIONS / f"{number:05d}.tar"
            if not shard.exists():
                (folder / picture_of(some[0])).parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(shard) as aside, tarfile.open(aside, "w") as tar:
                    pictures = map_media(
                        as_jpeg, Modality.IMAGE, some, size=SIZE, workers=available_cores()
                    )
                    for of, picture in zip(some, pictures, strict=True):
                        (folder / picture_of(of)).write_bytes(picture)
                        _add(tar, f"{of.id:08d}.jpg", picture)
                        _add(tar, f"{of.id:08d}.txt", caption(of).encode())
            bar.update(len(some))


def as_jpeg(picture: object) -> bytes:
    """A rendered picture as the content of a file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(picture, np.uint8)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def picture_of(of: Scene) -> str:
    """Where a scene's picture lies in the folder."""
    return f"images/{(of.id - FIRST) // SCENES_PER_SHARD:05d}/{of.id:08d}.jpg"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


# ------------------------------------------------------------------------------ lists


def alpaca(task: Instruction) -> Record:
    """A record in Alpaca's layout."""
    return {"instruction": task.instruction, "input": task.input, "output": task.output}


def llava(turns: Sequence[tuple[str, str, Scene | None]]) -> Record:
    """A record in LLaVA's layout of questions, answers, and scenes that questions newly show."""
    shown = [picture_of(of) for _, _, of in turns if of is not None]
    said: list[dict[str, str]] = []
    for question, answer, of in turns:
        asked = question if of is None else f"{MARKER}\n{question}"
        said += [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    return {"image": shown[0] if len(shown) == 1 else shown, "conversations": said}


def chinese_caption(of: Scene) -> Record:
    """The primary Chinese caption."""
    request = Stream(of.id, "stage caption").choice(CAPTION_REQUESTS["zh"])
    return llava([(request, caption(of, "zh"), of)])


def tasks(of: Scene) -> Iterator[Record]:
    """Some of the tasks about a picture; those of yes and no are as often right as wrong."""
    stream = Stream(of.id, "stage tasks")
    rest = visual_instructions(of, stream)
    for _ in range(TASKS_PER_SCENE):
        task = rest.pop(stream.integer(len(rest)))
        yield llava([(task.instruction, task.output, of)])


def described(of: Scene) -> Record:
    """A description in two or three sentences."""
    stream = Stream(of.id, "stage description")
    language: Language = "zh" if stream.chance(CHINESE_SHARE) else "en"
    request = stream.choice(DESCRIPTION_REQUESTS[language])
    return llava([(request, describe(of, language, stream), of)])


def chats(scenes: Sequence[Scene], n: int) -> Iterator[Record]:
    """Conversations about one picture or two."""
    for i in range(n):
        stream = Stream(i, "stage chat")
        first = scenes[i % len(scenes)]
        second = stream.choice(scenes) if stream.chance(SECOND_SHARE) else None
        turns = conversation(first, stream, second)
        yield llava([(turn.question, turn.answer, turn.scene) for turn in turns])
