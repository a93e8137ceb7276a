"""Hostile media: what a decoder does when it is attacked ends with that one item refused."""

import asyncio
import importlib
import io
import json
import logging
import multiprocessing
import os
import signal
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from anybind.encoders.encoder import load_encoder
from anybind.encoders.modality import Modality
from anybind.encoders.preprocess import Prepared, Preprocessor
from anybind.errors import AnyBindError, MediaError, UsageError
from anybind.server.decoding import (
    WORKER_NAME,
    DecodedTooLong,
    DecodePool,
    DecoderDied,
    Limits,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and of files")

if str(Path(__file__).parent) not in sys.path:  # of which workers get a copy
    sys.path.append(str(Path(__file__).parent))
misbehaving = importlib.import_module("misbehaving")

ACT = Modality.IMU  # whose decoder is `misbehaving.act`; the others are the real ones
LIMITS = Limits(memory_bytes=512 * 2**20, seconds=60)
MEDIA = [modality for modality in Modality if modality is not Modality.TEXT]


def open_pool(limits: Limits, n_workers: int = 1) -> DecodePool:
    encoder = load_encoder()
    preprocessors: dict[Modality, Preprocessor] = {m: encoder.preprocessor(m) for m in MEDIA}
    return DecodePool({**preprocessors, ACT: misbehaving.act}, n_workers=n_workers, limits=limits)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = open_pool(LIMITS)
    yield pool
    pool.close()


def prepare(pool: DecodePool, modality: Modality, content: bytes) -> Prepared:
    return asyncio.run(pool.prepare(modality, content))


def workers() -> set[int | None]:
    """The processes that decode."""
    children = multiprocessing.active_children()
    return {child.pid for child in children if child.name == WORKER_NAME}


def act(pool: DecodePool, word: str, argument: str = "") -> Prepared:
    """What comes of an attack by name."""
    return prepare(pool, ACT, f"{word}\n{argument}".encode("latin-1"))


def facts(pool: DecodePool) -> dict[str, object]:
    """What a worker says about itself."""
    found = json.loads(act(pool, "tell").tobytes())
    assert isinstance(found, dict)
    return found


def refusal(pool: DecodePool, modality: Modality, content: bytes) -> str:
    """The one line with which an item is refused, by the loader and not by a death."""
    with pytest.raises(MediaError) as caught:
        prepare(pool, modality, content)
    assert not isinstance(caught.value, DecoderDied | DecodedTooLong), caught.value
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_pool_prepares_what_the_encoder_would(pool: DecodePool, data: Path) -> None:
    """The reference is the preprocessor called here, on the sample files, to the bit."""
    encoder = load_encoder()
    for modality, names in (
        (Modality.IMAGE, ("rgba_60x300.png", "exif6_320x200.jpg")),
        (Modality.AUDIO, ("stereo_short_22k.wav",)),
        (Modality.VIDEO, ("squares.mp4",)),
    ):
        for name in names:
            content = (data / "samples" / name).read_bytes()
            expected = encoder.preprocessor(modality)(content)
            found = prepare(pool, modality, content)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("attack", ["crash", "abort", "leave", "burst"])
def test_a_file_that_ends_its_decoder_ends_nothing_else(pool: DecodePool, attack: str) -> None:
    """A new worker takes the place of the one that a bad pointer, an abort or an exit ended."""
    before = facts(pool)["pid"]
    with pytest.raises(DecoderDied, match="the decoder died on <.* bytes> of imu"):
        act(pool, attack)
    after = facts(pool)["pid"]
    assert after != before
    assert len(workers()) == 1


def test_a_file_that_stalls_its_decoder_is_left_in_time() -> None:
    """A loop in C hears no signal that Python handles; the worker is killed."""
    before = workers()
    pool = open_pool(Limits(memory_bytes=2**30, seconds=1.5))
    try:
        asyncio.run(pool.started())
        started = time.perf_counter()
        with pytest.raises(DecodedTooLong, match="more than 1.5 s"):
            act(pool, "stall")
        assert 1.5 <= time.perf_counter() - started < 15
        assert facts(pool)["pid"]
    finally:
        pool.close()
    assert workers() <= before


@pytest.mark.parametrize("attack", ["hog", "creep"])
def test_a_file_that_takes_all_memory_gets_what_is_allowed(pool: DecodePool, attack: str) -> None:
    """8 GB at once, and in small pieces, under a limit of 512 MiB; the worker may live on."""
    with pytest.raises(MediaError, match="needs more than 512 MiB|the decoder died"):
        act(pool, attack)
    assert facts(pool)["pid"]


def test_a_worker_that_is_taken_over_cannot_run_code_in_the_server(
    pool: DecodePool, tmp_path: Path
) -> None:
    """It answers with a pickle; the server reads no pickles, and ends it."""
    target = tmp_path / "made by the attack"
    with pytest.raises(DecoderDied):
        act(pool, "take_over", str(target))
    assert not target.exists()
    assert facts(pool)["pid"]


@pytest.mark.parametrize(
    "forged",
    [
        "[" * 60_000,  # as deep as it goes
        "[]",
        "7",
        '{"shape": [1e30], "dtype": "<f4"}',
        '{"shape": [1000000000000000000000000], "dtype": "<f4"}',
        '{"shape": [7], "dtype": "<f4"}',
        '{"shape": [1], "dtype": "|O"}',
        '{"shape": [1], "dtype": "f4,(("}',
        '{"shape": {}, "dtype": {}}',
        "\xff\xfe",
    ],
)
def test_forged_answers_of_a_worker_are_refused(pool: DecodePool, forged: str) -> None:
    """Depth, shapes and types that fit nothing, objects, what is no text at all."""
    with pytest.raises(DecoderDied):
        act(pool, "forge", forged)
    assert facts(pool)["pid"]


def test_a_message_cannot_forge_a_line_of_the_log(pool: DecodePool) -> None:
    """Line breaks, escapes of terminals and marks that turn the writing around are taken out."""
    with pytest.raises(MediaError) as caught:
        act(pool, "shout")
    assert str(caught.value) == "no?[2J INFO all is well??"


def test_a_decoder_can_write_no_file(pool: DecodePool, tmp_path: Path) -> None:
    """Its limit of file size is 0, so that nothing is left behind whenever it is killed."""
    target = tmp_path / "written"
    with pytest.raises(AnyBindError, match="File too large"):
        act(pool, "write", str(target))
    assert not target.exists() or target.stat().st_size == 0


def test_a_decoder_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment of the server are not in that of its workers; nor are core dumps."""
    monkeypatch.setenv("ANYBIND_API_KEYS_FILE", "/secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    pool = open_pool(LIMITS)
    try:
        found = facts(pool)
    finally:
        pool.close()
    assert found["environment"] == {"OMP_NUM_THREADS": "1"}
    assert found["core"] == [0, 0]
    assert found["files"] == [64, 64]
    assert found["interrupt"] is True
    assert found["torch"] is False  # decoding needs none, and starts faster


def test_an_unforeseen_error_is_logged_and_is_no_error_of_the_file(
    pool: DecodePool, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback comes from the worker; the worker lives."""
    before = facts(pool)["pid"]
    with caplog.at_level(logging.ERROR), pytest.raises(AnyBindError) as caught:
        act(pool, "fail")
    assert not isinstance(caught.value, MediaError)
    assert "RuntimeError: a mistake of ours" in str(caught.value)
    assert "in fail" in caplog.text
    assert facts(pool)["pid"] == before


def test_a_long_refusal_is_cut(pool: DecodePool) -> None:
    """Three million characters of it, which might hold the file."""
    with pytest.raises(MediaError, match="^no no no") as caught:
        act(pool, "refuse")
    assert len(str(caught.value)) < 10_000


def test_a_worker_that_was_killed_while_idle_is_replaced(pool: DecodePool) -> None:
    """As the kernel does when memory runs out; the next item does not notice."""
    pid = facts(pool)["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    for _ in range(100):  # until it is gone, which a busy machine puts off
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert facts(pool)["pid"] != pid


def test_a_path_in_a_request_is_never_opened(pool: DecodePool, tmp_path: Path) -> None:
    """As a string it is refused; as bytes it is the content of a file, and a bad one."""
    secret = tmp_path / "secret.csv"
    secret.write_text("time,ax,ay,az,gx,gy,gz\n0,1,1,1,1,1,1\n1,1,1,1,1,1,1\n")
    for wrong in (str(secret), secret, memoryview(b"x"), io.BytesIO(b"x"), None, 7):
        with pytest.raises(TypeError, match="only bytes are decoded"):
            prepare(pool, Modality.IMAGE, wrong)  # type: ignore[arg-type]
    for modality in MEDIA:
        if modality is not ACT:
            for path in (str(secret), "/etc/passwd", f"file://{secret}", "\\\\host\\share"):
                message = refusal(pool, modality, path.encode())
                assert "secret" not in message and "/etc" not in message


def test_there_are_decoders_for_media_alone(pool: DecodePool) -> None:
    """A text needs none."""
    with pytest.raises(UsageError, match="text cannot be decoded here; there are image"):
        prepare(pool, Modality.TEXT, b"x")


def playlists(secret: Path) -> dict[str, bytes]:
    """Files that ask FFmpeg to open others."""
    return {
        "HLS": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "DASH": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 1 RTP/AVP 0\n",
        "subfile": f"subfile,,start,0,end,0,,:{secret}".encode(),
        "image sequence": b"/proc/self/environ%d.png",
    }


@pytest.mark.parametrize("name", list(playlists(Path())))
def test_playlists_open_no_other_file(pool: DecodePool, data: Path, name: str) -> None:
    """The file they name is a valid sound and a valid video, so opening it would decode."""
    for modality, sample in ((Modality.AUDIO, "tone_8k.wav"), (Modality.VIDEO, "squares.mp4")):
        content = playlists((data / "samples" / sample).resolve())[name]
        assert "no sound or video" in refusal(pool, modality, content)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b"%PDF-1.4\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'msl:/etc/passwd'\n",
    ],
)
def test_pictures_that_are_programs_are_not_run(pool: DecodePool, content: bytes) -> None:
    """PostScript, PDF, SVG, XML with entities, MVG: formats that open files or run code."""
    assert "is not an image" in refusal(pool, Modality.IMAGE, content)


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG of greys with any promise in its head."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_decompression_bomb_is_refused_from_its_head(pool: DecodePool) -> None:
    """A gigapixel of zeros in a megabyte, and more than can be counted."""
    bomb = zlib.compress(bytes(10**6), 9)
    for width, height in ((31_623, 31_623), (10**6, 10**6), (2**31 - 1, 2**31 - 1)):
        message = refusal(pool, Modality.IMAGE, png(width, height, bomb))
        assert "more than 100,000,000 pixels" in message or "at most 100,000,000" in message
    with pytest.raises(MediaError, match="too narrow"):
        prepare(pool, Modality.IMAGE, png(60_000, 1, bomb))


def test_a_text_chunk_that_unpacks_without_end_is_refused(pool: DecodePool) -> None:
    """zTXt: 20 MB of zeros in 20 KB, in front of a picture that is none of a problem."""
    body = b"Comment\0\0" + zlib.compress(bytes(20 * 10**6), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = png(8, 8, zlib.compress(bytes(72)))
    place = 8 + 25  # behind the first chunk
    assert "damaged" in refusal(pool, Modality.IMAGE, plain[:place] + chunk + plain[place:])


def npy(shape: str, descr: str = "'<f4'") -> bytes:
    """An npy with any promise in its head."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode("latin-1")


@pytest.mark.parametrize("modality", [Modality.POINTS, Modality.DEPTH])
def test_arrays_that_promise_too_much_are_refused(pool: DecodePool, modality: Modality) -> None:
    """A terabyte, a negative length, a product that overflows, an endless head, objects."""
    for shape in ("(1099511627776,)", "(-1, 3)", "(4294967296, 4294967296)", "(0, 3)", "(3,)*9"):
        refusal(pool, modality, npy(shape))
    refusal(pool, modality, npy("(3, 3)", "'|O'"))
    refusal(pool, modality, npy("(3, 3)", "'<f4', 'x': __import__('os').abort()"))
    refusal(pool, modality, b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 1000)
    refusal(pool, modality, b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000)


def packed(name: str, content: bytes) -> bytes:
    """A packed zip with one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_zip_bombs_are_refused(pool: DecodePool) -> None:
    """Members that say they unpack to 4 GB are not begun; one that says less than it has is read
    as far as it says: an npy whose head is said to be all of it, and what torch would read."""
    size = 20_000_003
    endless = (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1)).ljust(size, b"\0")
    for member in ("points.npy", "archive/data.pkl"):
        honest = packed(member, endless)
        for said, reason in (
            (2**32 - 2, "unpacks to 4,294,967,294 bytes"),
            (100, "not a readable"),
        ):
            hostile = honest.replace(struct.pack("<I", size), struct.pack("<I", said))
            assert hostile != honest
            assert reason in refusal(pool, Modality.POINTS, hostile)


def test_pickles_are_not_loaded(pool: DecodePool, tmp_path: Path) -> None:
    """In npy, npz, and pt, old and new: unpickling would make a folder."""
    target = tmp_path / "made by the attack"
    payload = misbehaving.pickle.dumps(misbehaving.Payload(str(target)))
    for content in (
        npy("(1,)", "'|O'") + payload,
        packed("points.npy", npy("(1,)", "'|O'") + payload),
        packed("archive/data.pkl", payload),
        payload,
    ):
        refusal(pool, Modality.POINTS, content)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\nproperty float x\n"
        b"property float y\nproperty float z\nend_header\n" + bytes(36),
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        b"property float z\nelement face 1\nproperty list int int vertex_indices\nend_header\n"
        b"0 0 0\n2147483647 0\n",
        b"ply\nformat binary_little_endian 1.0\nelement face 2\n"
        b"property list uint int vertex_indices\nend_header\n" + b"\xff" * 64,
        b"ply\nformat binary_little_endian 1.0\nelement vertex " + b"9" * 5000 + b"\nend_header\n",
        b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 99999999\nWIDTH 9\n"
        b"HEIGHT 1\nPOINTS 9000000\nDATA binary\n" + bytes(99),
        b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 9\nHEIGHT 1\n"
        b"POINTS 9\nDATA binary_compressed\n" + struct.pack("<II", 2**32 - 1, 2**32 - 1),
        bytes(80) + struct.pack("<I", 2**31 - 1) + bytes(50),
        b"OFF\n2147483647 2147483647 0\n0 0 0\n",
        b"9" * 60_000 + b"\n0 0 0\n",
        b"f 1 2 2147483647\nv 0 0 0\n",
    ],
)
def test_clouds_that_promise_too_much_are_refused(pool: DecodePool, content: bytes) -> None:
    """Billions of vertices, of corners, of digits; places of vertices that do not exist."""
    refusal(pool, Modality.POINTS, content)


def test_materials_of_an_obj_are_left_alone(pool: DecodePool) -> None:
    """The mesh is read as if the line were not there; the file it names would be opened else."""
    mesh = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    hostile = b"mtllib ../../../../etc/passwd\nmtllib /dev/zero\nusemtl x\n" + mesh
    np.testing.assert_array_equal(
        prepare(pool, Modality.POINTS, hostile), prepare(pool, Modality.POINTS, mesh)
    )


def test_sounds_and_videos_that_promise_too_much_are_refused(pool: DecodePool, data: Path) -> None:
    """Heads with the largest numbers: rates, sizes of chunks, of tables and of pictures. FFmpeg
    passes over some of them and decodes the rest; none may end the worker."""
    wav = (data / "samples" / "tone_8k.wav").read_bytes()
    for place, size in ((16, 4), (22, 2), (24, 4)):
        refusal(pool, Modality.AUDIO, wav[:place] + b"\xff" * size + wav[place + size :])
    mp4 = (data / "samples" / "squares.mp4").read_bytes()
    for box in (b"stsz", b"stco", b"stts", b"tkhd", b"mdhd", b"avc1"):
        place = mp4.find(box)
        assert place > 0
        hostile = mp4[: place + 4] + b"\xff" * 60 + mp4[place + 64 :]
        try:
            assert np.isfinite(prepare(pool, Modality.VIDEO, hostile)).all()
        except MediaError as error:
            assert not isinstance(error, DecoderDied | DecodedTooLong), box
    assert "no sound or video" in refusal(pool, Modality.VIDEO, mp4[: len(mp4) // 2])


def test_a_picture_in_an_unknown_code_is_refused(pool: DecodePool) -> None:
    """Found by fuzzing: an avi whose codec has no name has a stream without size."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as output:
        stream = output.add_stream("mpeg4", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 48, 3), np.uint8), format="rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    hostile = file.getvalue().replace(b"FMP4", b"\xff\xfe\xfd\xfc")
    assert "a code that FFmpeg does not know" in refusal(pool, Modality.VIDEO, hostile)


def test_many_at_once_are_done_by_all_workers_and_in_any_order() -> None:
    """Two workers: a short item passes a long one, and a death hurts no other."""
    pool = open_pool(LIMITS, n_workers=2)

    async def run() -> None:
        await pool.started()
        order: list[str] = []

        async def one(name: str, content: bytes) -> object:
            try:
                return await pool.prepare(ACT, content)
            except MediaError as error:
                return error
            finally:
                order.append(name)

        jobs = [one("long", b"rest\n1.5"), *(one(f"{i}", b"rest\n0") for i in range(6))]
        results = await asyncio.gather(*jobs, one("crash", b"crash\n"), one("last", b"rest\n0"))
        assert order[-1] == "long" and set(order[:-2]) >= {f"{i}" for i in range(6)}
        assert [isinstance(result, DecoderDied) for result in results] == [
            *[False] * 7,
            True,
            False,
        ]

    try:
        asyncio.run(run())
    finally:
        pool.close()


def test_who_hangs_up_frees_what_has_not_begun(pool: DecodePool) -> None:
    """Twenty items of a minute each wait behind one; they are cancelled, and the next is quick."""

    async def run() -> float:
        await pool.started()
        first = asyncio.create_task(pool.prepare(ACT, b"rest\n0.5"))
        rest = [asyncio.create_task(pool.prepare(ACT, b"rest\n50")) for _ in range(20)]
        await asyncio.sleep(0.2)
        for task in rest:
            task.cancel()
        await asyncio.gather(first, *rest, return_exceptions=True)
        started = time.perf_counter()
        await pool.prepare(ACT, b"rest\n0")
        return time.perf_counter() - started

    assert asyncio.run(run()) < 20


def test_closing_ends_what_runs_and_leaves_no_process() -> None:
    """Also in the middle of an item, and of a stalled one."""
    before = workers()
    pool = open_pool(LIMITS, n_workers=2)

    async def run() -> list[object]:
        await pool.started()
        tasks = [asyncio.create_task(pool.prepare(ACT, b"stall\n")) for _ in range(2)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(pool.close)
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    assert all(isinstance(result, MediaError) for result in asyncio.run(run()))
    assert workers() <= before


def test_limits_that_allow_nothing_are_refused() -> None:
    """By hand."""
    for wrong in (
        partial(Limits, memory_bytes=0, seconds=1.0),
        partial(Limits, memory_bytes=1, seconds=0.0),
        partial(Limits, memory_bytes=1, seconds=float("inf")),
        partial(open_pool, LIMITS, 0),
    ):
        with pytest.raises(ValueError, match="nothing"):
            wrong()
