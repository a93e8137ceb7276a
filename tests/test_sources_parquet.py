"""Parquet tables as a source."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anybind.encoders.modality import Modality
from anybind.errors import UsageError
from anybind.index.sources.base import Place
from anybind.index.sources.parquet import open_parquet


def test_hugging_face_tables_hold_bytes_or_paths(tmp_path: Path) -> None:
    """``image`` is ``{bytes, path}``; several captions are kept, the first one is the caption."""
    images = [
        {"bytes": b"picture 0", "path": "0.jpg"},
        {"bytes": None, "path": "files/1.jpg"},
        {"bytes": None, "path": None},
        None,
    ]
    table = pa.table(
        {
            "image": images,
            "caption": [["one", "two"], [], None, ["four"]],
            "score": [0.5, float("nan"), 1.0, 2.0],
            "audio": [b"x", b"x", b"x", b"x"],
        }
    )
    (tmp_path / "my data").mkdir()
    pq.write_table(table, tmp_path / "my data" / "t 0.parquet")
    samples = list(open_parquet([str(tmp_path)], Modality.IMAGE).samples())
    assert [(s.key, s.path, s.caption, s.problem) for s in samples] == [
        ("my data/t 0.parquet#0", "my data/t 0.parquet#0", "one", ""),
        ("my data/t 0.parquet#1", "my data/files/1.jpg", None, ""),
        ("my data/t 0.parquet#2", "my data/t 0.parquet#2", None, "the row has no picture"),
        ("my data/t 0.parquet#3", "my data/t 0.parquet#3", None, "the row has no picture"),
    ]
    assert samples[0].media == b"picture 0"
    assert samples[1].media == Place(file=f"{tmp_path}/my data/files/1.jpg")
    assert samples[0].extra == '{"caption": ["one", "two"], "score": 0.5}'
    assert samples[1].extra == '{"caption": [], "score": null}'


def test_plain_columns_are_known_by_name(tmp_path: Path) -> None:
    """Paths beside the table, LAION's column names, and a key."""
    table = pa.table(
        {"key": [7, 8], "image_path": ["a.jpg", "b.jpg"], "TEXT": ["A", " "], "URL": ["u", None]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    samples = list(open_parquet([f"{tmp_path}/t.parquet"], Modality.IMAGE).samples())
    assert [(s.key, s.path, s.caption, s.url, s.extra) for s in samples] == [
        ("7", "a.jpg", "A", "u", None),
        ("8", "b.jpg", None, None, None),
    ]


def test_rows_before_the_start_are_passed_over(tmp_path: Path) -> None:
    """Every start gives the tail of the whole list, across files, row groups and problems."""
    for number in (0, 2):
        jpg = [f"{number}{i}".encode() for i in range(150)]
        pq.write_table(pa.table({"jpg": jpg}), tmp_path / f"{number}.parquet", row_group_size=70)
    (tmp_path / "1.parquet").write_text("not a table")
    source = open_parquet([str(tmp_path)], Modality.IMAGE)
    whole = list(source.samples())
    assert len(whole) == 150 + 1 + 150
    assert whole[150].problem.startswith("the table cannot be read from row 0 on: ")
    assert whole[151].media == b"20"
    for start in (0, 1, 69, 70, 149, 150, 151, 152, 299, 300, 301, 400):
        assert list(source.samples(start)) == whole[start:]


def test_a_table_damaged_inside_gives_what_came_before(tmp_path: Path) -> None:
    """The last row group is overwritten; the footer, which lists it, is whole."""
    path = tmp_path / "t.parquet"
    jpg = [bytes([i]) * 5000 for i in range(100)]
    pq.write_table(
        pa.table({"jpg": jpg}), path, row_group_size=50, use_dictionary=False, compression="none"
    )
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    source = open_parquet([str(path)], Modality.IMAGE)
    *good, bad = source.samples()
    assert [s.media for s in good] == jpg[:50]
    assert bad.problem.startswith("the table cannot be read from row 50 on: ")
    assert source.estimate() == 100


def test_a_table_without_pictures_is_refused(tmp_path: Path) -> None:
    """The message names the columns that are there and those that would do."""
    pq.write_table(pa.table({"image": [1], "caption": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="no column of pictures among image, caption; .*jpg"):
        open_parquet([str(tmp_path)], Modality.IMAGE)


def test_other_media_have_columns_of_their_own(tmp_path: Path) -> None:
    """A sound in bytes beside a picture's path; the text itself for an index of texts."""
    table = pa.table(
        {
            "image_path": ["a.jpg", "b.jpg"],
            "audio": [{"bytes": b"RIFF", "path": "a.wav"}, {"bytes": None, "path": "b.wav"}],
            "caption": ["A", " "],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    sounds = list(open_parquet([str(tmp_path)], Modality.AUDIO).samples())
    assert [s.media for s in sounds] == [b"RIFF", Place(file=f"{tmp_path}/b.wav")]
    assert [s.caption for s in sounds] == ["A", None]
    texts = list(open_parquet([str(tmp_path)], Modality.TEXT).samples())
    assert [(s.media, s.caption, s.problem) for s in texts] == [
        (b"A", "A", ""),
        (None, None, "the row has no text"),
    ]
    with pytest.raises(UsageError, match="no column of point clouds among image_path.*ply"):
        open_parquet([str(tmp_path)], Modality.POINTS)
