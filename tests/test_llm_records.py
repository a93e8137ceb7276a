"""Training data as people have it: shards, lists of both layouts, and what is wrong with them."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from anybind.errors import UsageError
from anybind.llm.prompt import CAPTION, Turn
from anybind.llm.records import Picture, Record, Skipped, Source, read_records


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    """A tar file of these members, in order."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def records_of(path: Path, content: object, image_root: Path | None = None) -> list[Record]:
    """The records of a list with this content."""
    path.write_text(json.dumps(content))
    found = list(read_records(Source(path=path), image_root))
    assert all(isinstance(record, Record) for record in found)
    return [record for record in found if isinstance(record, Record)]


def said(*texts: str) -> list[dict[str, str]]:
    """LLaVA's conversations: person and model in turn."""
    return [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(texts)]


def test_a_shard_gives_its_pictures_with_their_captions(tmp_path: Path) -> None:
    """The text beside a picture comes before the JSON's caption; the bytes are the member's."""
    write_tar(
        tmp_path / "0.tar",
        {
            "a.jpg": b"one",
            "a.txt": b" a red dog\n",
            "a.json": b'{"caption": "no"}',
            "b.png": b"two",
            "b.json": json.dumps({"caption": "一只狗"}).encode(),
            "c.txt": b"no picture",
            "d.jpg": b"no caption",
            "e.jpg": b"bad",
            "e.json": b"{",
        },
    )
    found = list(read_records(Source(path=tmp_path)))
    kept = [record for record in found if isinstance(record, Record)]
    assert [record.turns for record in kept] == [
        (Turn(question=CAPTION, answer="a red dog"),),
        (Turn(question=CAPTION, answer="一只狗"),),
    ]
    assert [p.read() for r in kept for p in r.pictures if p is not None] == [b"one", b"two"]
    skipped = {s.name.rpartition("#")[2]: s.reason for s in found if isinstance(s, Skipped)}
    assert skipped == {
        "c": "no picture among txt",
        "d": "no caption beside the picture",
        "e": "the .json beside the picture is not JSON",
    }


def test_a_shard_that_breaks_off_is_told_after_what_it_holds(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.jpg": b"x" * 600, "a.txt": b"one", "b.jpg": b"y" * 600})
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:3200])
    first, *rest = read_records(Source(path=tmp_path / "*.tar"))
    assert isinstance(first, Record) and first.turns[0].answer == "one"
    assert isinstance(rest[-1], Skipped) and "ends inside b.jpg" in rest[-1].reason


def test_alpaca_records_are_questions_about_nothing_to_see(tmp_path: Path) -> None:
    found = records_of(
        tmp_path / "alpaca.json",
        [
            {"instruction": "Add.", "input": "1 2", "output": "3"},
            {"instruction": "Greet.", "input": "", "output": "Hello."},
            {"instruction": "问好", "output": "你好"},
        ],
    )
    assert [record.turns[0] for record in found] == [
        Turn(question="Add.", context="1 2", answer="3"),
        Turn(question="Greet.", answer="Hello."),
        Turn(question="问好", answer="你好"),
    ]
    assert all(record.pictures == (None,) for record in found)


def test_llava_records_show_pictures_where_the_marker_stands(tmp_path: Path) -> None:
    """Without a marker, with the first question; markers are no part of a question."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    one = {"image": "a.jpg", "conversations": said("<image>\nWhat?", "A dog.", "Red?", "Yes.")}
    unmarked = {"image": "b.jpg", "conversations": said("What?", "A cat.")}
    two = {
        "image": ["a.jpg", "b.jpg"],
        "conversations": said("Hi.", "Hello.", "This? <image>", "A dog.", "<image> And?", "A cat."),
    }
    text = {"conversations": said("Hi.", "Hello.")}
    found = records_of(tmp_path / "llava.json", [one, unmarked, two, text])
    a, b = (Picture(str(tmp_path / name)) for name in ("a.jpg", "b.jpg"))
    assert [record.pictures for record in found] == [(a, None), (b,), (None, a, b), (None,)]
    assert [turn.question for turn in found[2].turns] == ["Hi.", "This?", "And?"]
    assert found[0].turns[0] == Turn(question="What?", answer="A dog.")


def test_lists_of_lines_and_pictures_elsewhere(tmp_path: Path) -> None:
    """One record a line, blank lines passed over; pictures lie below ``image_root``."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.jpg").write_bytes(b"a")
    record = json.dumps({"image": "a.jpg", "conversations": said("What?", "A dog.")})
    (tmp_path / "list.jsonl").write_text(f"{record}\n\n{record}\n")
    found = list(read_records(Source(path=tmp_path / "list.jsonl"), pictures))
    assert [r.pictures for r in found if isinstance(r, Record)] == [
        (Picture(str(pictures / "a.jpg")),)
    ] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "list.json is not JSON"),
        ('{"instruction": "a"}', "holds no list of records"),
        ('[{"question": "a"}]', r"record 1 has the keys question; it needs conversations"),
        ("[3]", "record 1 has 3; it needs"),
        ('[{"instruction": "a", "output": " "}]', "record 1 has no output"),
        ('[{"instruction": "a", "output": "b", "input": 3}]', "record 1: input is 3"),
        ('[{"instruction": "a", "output": "b", "image": "c"}]', "picture in Alpaca's layout"),
        ('[{"conversations": []}]', "record 1 has 0 entries in conversations"),
        ('[{"conversations": [{"from": "human", "value": "a"}]}]', "has 1 entries"),
        (json.dumps([{"conversations": said("a", " ")}]), "record 1 has no answer in turn 1"),
        (json.dumps([{"conversations": said("<image>", "b")}]), "has 0 pictures"),
        (json.dumps([{"conversations": said("a", "b")[::-1]}]), "'gpt' speaks where human"),
        (json.dumps([{"image": "no.jpg", "conversations": said("a", "b")}]), "no picture .*no.jpg"),
        (json.dumps([{"image": ["a", "b"], "conversations": said("a", "b")}]), "has 2 pictures"),
        (json.dumps([{"image": 3, "conversations": said("a", "b")}]), "image is 3"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_file_and_record(
    tmp_path: Path, content: str, message: str
) -> None:
    """One line each, and no traceback of a parser."""
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        list(read_records(Source(path=path)))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_sources_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a")
    for name, message in (
        ("none", "there is no .*none"),
        ("*.tar", "there is no"),
        ("", "has no tar files"),
        ("data.csv", "neither a .tar shard nor"),
    ):
        with pytest.raises(UsageError, match=message):
            list(read_records(Source(path=tmp_path / name)))
    with pytest.raises(UsageError, match="weight 0"):
        Source(path=tmp_path, weight=0)
