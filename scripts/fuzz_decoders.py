"""Feed damaged and forged files to every decoder, as a hostile client would.

A small valid file of every format is made and mutated: flipped bits, cuts, splices, extreme numbers
in its head and in its text, random tails. Each mutant goes through the pool that the server decodes
with. The exit status is 1 if anything but a refusal came out, if memory grew beyond the limit or
if a worker was left behind.

    python scripts/fuzz_decoders.py
    python scripts/fuzz_decoders.py --only video --n 200 --seed 7 --keep /tmp/odd
"""

import argparse
import asyncio
import io
import multiprocessing
import re
import struct
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from multiprocessing.process import BaseProcess
from pathlib import Path

import av
import numpy as np
import soundfile
import trimesh
from PIL import Image

from anybind.encoders.encoder import load_encoder
from anybind.encoders.media import Floats, Pixels
from anybind.encoders.modality import Modality
from anybind.errors import MediaError
from anybind.server.decoding import (
    WORKER_NAME,
    DecodedTooLong,
    DecodePool,
    DecoderDied,
    Limits,
)

N = 2000  # mutants of a format
WORKERS = 2
SIDE, FRAMES, FPS = 48, 12, 8  # of what is made: small, so that mutations hit heads as well
SOUND_RATE, SOUND_SECONDS = 8000, 0.3
N_POINTS = 40
HEAD = 256  # bytes in which most mutations fall
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = (b"-1", b"0", b"2147483647", b"99999999999999999999", b"1e308", b"nan", b"inf", b"", b"x")
SAMPLE_SECONDS = 0.05  # between looks at the memory of the workers
RESIDENT_SLACK = 32 * 2**20  # bytes of libraries that a decoder touches for the first time


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A valid file."""

    modality: Modality
    form: str
    content: bytes


@dataclass(kw_only=True)
class Tally:
    """What became of the mutants of a format."""

    decoded: int = 0
    refused: int = 0
    died: int = 0  # workers
    late: int = 0
    odd: list[str] = field(default_factory=list[str])  # errors that no loader should let through
    slowest: float = 0.0  # seconds, waiting for a worker included


class Watch(threading.Thread):
    """The most memory that any worker held."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0  # bytes
        self.most = 0  # workers at once
        self._done = threading.Event()

    def run(self) -> None:
        """Look now and then; the kernel keeps each process's own peak."""
        while not self._done.wait(SAMPLE_SECONDS):
            running = workers()
            self.most = max(self.most, len(running))
            for worker in running:
                self.peak = max(self.peak, resident(worker.pid))

    def stop(self) -> None:
        """End, after a last look."""
        self._done.set()
        self.join()


def workers() -> list[BaseProcess]:
    """The processes that decode."""
    return [child for child in multiprocessing.active_children() if child.name == WORKER_NAME]


def resident(pid: int | None) -> int:
    """The most bytes of memory a process ever held; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--n", type=int, default=N, help="mutants of each format")
    add("--seed", type=int, default=0)
    media = [modality for modality in Modality if modality is not Modality.TEXT]
    add("--only", nargs="+", type=Modality, choices=media, default=media)
    add("--memory", type=int, default=1024, help="MiB that one item may take")
    add("--seconds", type=float, default=20, help="that one item may take")
    add("--keep", type=Path, help="folder for mutants that were more than refused")
    args = parser.parse_args()
    limits = Limits(memory_bytes=args.memory * 2**20, seconds=args.seconds)
    seeds = [seed for seed in make_seeds() if seed.modality in args.only]
    encoder = load_encoder()
    preprocessors = {modality: encoder.preprocessor(modality) for modality in args.only}
    pool = DecodePool(preprocessors, n_workers=WORKERS, limits=limits)
    return asyncio.run(fuzz(pool, seeds, n=args.n, seed=args.seed, keep=args.keep))


async def fuzz(
    pool: DecodePool, seeds: Sequence[Seed], *, n: int, seed: int, keep: Path | None
) -> int:
    """Attack format after format, print a row for each, and close the pool; the exit status."""
    await pool.started()
    base = max(resident(worker.pid) for worker in workers())
    watch = Watch()
    watch.start()
    print("| format | decoded | refused | died | late | other | slowest s | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    odd: list[str] = []
    n_lost = 0
    try:
        for one in seeds:
            plain = await pool.prepare(one.modality, one.content)  # each is valid to begin with
            assert plain.size
            others = [other.content for other in seeds if other.modality is one.modality]
            tally = await attack(pool, one, others, n=n, seed=seed, keep=keep)
            odd += tally.odd
            n_lost += tally.died + tally.late
            print(
                f"| {one.modality} {one.form} | {tally.decoded} | {tally.refused} | {tally.died} "
                f"| {tally.late} | {len(tally.odd)} | {tally.slowest:.2f} "
                f"| {watch.peak / 2**20:.0f} |",
                flush=True,
            )
    finally:
        watch.stop()
        pool.close()
    n_left = len(workers())
    bound = base + pool.limits.memory_bytes + RESIDENT_SLACK
    print(
        f"\n{len(seeds)} formats, {n} mutants each, seed {seed}: {n_lost} workers lost, "
        f"{len(odd)} other errors; at most {watch.most} workers at once, {n_left} left behind; "
        f"a worker held {base / 2**20:.0f} MB to begin with, {watch.peak / 2**20:.0f} MB at most, "
        f"limit {bound / 2**20:.0f} MB"
    )
    for line in odd:
        print(line, file=sys.stderr)
    return int(bool(odd) or bool(n_left) or watch.most > WORKERS or watch.peak > bound)


async def attack(
    pool: DecodePool, one: Seed, others: Sequence[bytes], *, n: int, seed: int, keep: Path | None
) -> Tally:
    """Send the mutants of one file, as many at once as keep all workers busy."""
    tally = Tally()
    at_once = asyncio.Semaphore(2 * WORKERS)

    async def send(number: int) -> None:
        async with at_once:
            # of each mutant its own, so that one can be made again alone
            random = np.random.default_rng([seed, number, *one.form.encode()])
            content = mutated(one.content, others, random)
            started = time.perf_counter()
            more_than_refused = True
            try:
                await pool.prepare(one.modality, content)
                tally.decoded += 1
                more_than_refused = False
            except DecoderDied:
                tally.died += 1
            except DecodedTooLong:
                tally.late += 1
            except MediaError:
                tally.refused += 1
                more_than_refused = False
            except Exception as error:
                tally.odd.append(f"{one.modality} {one.form} {number}: {error!r}")
            tally.slowest = max(tally.slowest, time.perf_counter() - started)
            if more_than_refused and keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{one.modality}-{number}-{one.form}").write_bytes(content)

    await asyncio.gather(*map(send, range(n)))
    return tally


def mutated(content: bytes, others: Sequence[bytes], random: np.random.Generator) -> bytes:
    """A file with one to four things wrong, at places that are mostly in its head."""
    out = bytearray(content)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(len(out) if random.random() < 0.4 else min(len(out), HEAD)))
        match int(random.integers(8)):
            case 0:
                out[place] ^= 1 << int(random.integers(8))
            case 1:
                out[place] = int(random.integers(256))
            case 2:
                del out[max(place, 1) :]
            case 3:  # a number that is as large or as small as it can be, of any width and order
                value = EXTREMES[int(random.integers(len(EXTREMES)))]
                width = int(random.choice([1, 2, 4, 8]))
                order = "little" if random.random() < 0.5 else "big"
                bits = value & (256**width - 1)
                out[place : place + width] = bits.to_bytes(width, order)
            case 4:  # a number in words
                found = list(re.finditer(rb"\d+(\.\d+)?", bytes(out[:4096])))
                if found:
                    start, end = found[int(random.integers(len(found)))].span()
                    out[start:end] = WORDS[int(random.integers(len(WORDS)))]
            case 5:  # a piece of another file of the same modality, or of this one
                donor = others[int(random.integers(len(others)))]
                start = int(random.integers(len(donor)))
                piece = donor[start : start + int(random.integers(1, 512))]
                end = place + (len(piece) if random.random() < 0.5 else 0)
                out[place:end] = piece
            case 6:
                out += random.bytes(int(random.integers(1, 4096)))
            case _:
                out[place : place + int(random.integers(1, 64))] = b""
        if not out:
            out = bytearray(b"\0")
    return bytes(out)


def make_seeds() -> list[Seed]:
    """A valid file of every format."""
    makers: dict[Modality, Callable[[], Iterable[tuple[str, bytes]]]] = {
        Modality.IMAGE: make_images,
        Modality.AUDIO: make_sounds,
        Modality.VIDEO: make_videos,
        Modality.POINTS: make_clouds,
        Modality.DEPTH: make_depths,
        Modality.THERMAL: make_heat,
        Modality.IMU: make_motions,
    }
    return [
        Seed(modality=modality, form=form, content=content)
        for modality, make in makers.items()
        for form, content in make()
    ]


def pixels() -> Pixels:
    """A picture of slopes and noise, ``(SIDE, SIDE, 3)``."""
    slope = np.linspace(0, 200, SIDE)
    noise = np.random.default_rng(0).integers(0, 50, (SIDE, SIDE, 3))
    return (slope[:, None, None] + noise).astype(np.uint8)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def make_images() -> Iterable[tuple[str, bytes]]:
    """Formats and the ways they pack."""
    picture = Image.fromarray(pixels())
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    yield "jpg", saved(picture, "JPEG", exif=exif)
    yield "progressive.jpg", saved(picture, "JPEG", progressive=True)
    yield "png", saved(picture, "PNG")
    yield "alpha.png", saved(picture.convert("RGBA"), "PNG")
    yield "palette.png", saved(picture.quantize(16), "PNG", transparency=0)
    yield "webp", saved(picture, "WEBP")
    yield "lossless.webp", saved(picture.convert("RGBA"), "WEBP", lossless=True)
    yield "gif", saved(picture, "GIF", save_all=True, append_images=[picture.rotate(90)])
    yield "bmp", saved(picture, "BMP")
    yield "tiff", saved(picture, "TIFF")
    yield "deflate.tiff", saved(picture, "TIFF", compression="tiff_deflate")
    yield "lzw.tiff", saved(picture, "TIFF", compression="tiff_lzw")
    yield "ppm", saved(picture, "PPM")


def samples() -> Floats:
    """A tone that fades."""
    seconds = np.arange(int(SOUND_RATE * SOUND_SECONDS)) / SOUND_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * seconds) * np.exp(-seconds)).astype(np.float32)


def make_sounds() -> Iterable[tuple[str, bytes]]:
    """Through libsndfile and FFmpeg."""
    for form, kind, subtype in (
        ("wav", "WAV", "PCM_16"),
        ("float.wav", "WAV", "FLOAT"),
        ("adpcm.wav", "WAV", "IMA_ADPCM"),
        ("aiff", "AIFF", "PCM_24"),
        ("w64", "W64", "PCM_16"),
        ("caf", "CAF", "ALAC_16"),
        ("flac", "FLAC", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ):
        file = io.BytesIO()
        soundfile.write(file, samples(), SOUND_RATE, format=kind, subtype=subtype)
        yield form, file.getvalue()
    for form, kind, codec in (
        ("m4a", "mp4", "aac"),
        ("aac", "adts", "aac"),
        ("mka", "matroska", "libopus"),
        ("ac3", "ac3", "ac3"),
        ("wv", "wv", "wavpack"),
    ):
        yield form, encoded(kind, "", codec)


def make_videos() -> Iterable[tuple[str, bytes]]:
    """Containers and codecs."""
    yield "mp4", encoded("mp4", "libx264", "aac")
    yield "mov", encoded("mov", "mpeg4", "")
    yield "webm", encoded("webm", "libvpx-vp9", "libopus")
    yield "mkv", encoded("matroska", "libx264", "flac")
    yield "avi", encoded("avi", "mpeg4", "libmp3lame")
    yield "mjpeg.avi", encoded("avi", "mjpeg", "")
    yield "ts", encoded("mpegts", "mpeg2video", "")
    yield "flv", encoded("flv", "flv1", "")
    yield "gif", encoded("gif", "gif", "")


def encoded(container: str, picture_codec: str, sound_codec: str) -> bytes:
    """A video, a sound, or both, through FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        picture = output.add_stream(picture_codec, rate=FPS) if picture_codec else None
        voice = output.add_stream(sound_codec, rate=48_000, layout="mono") if sound_codec else None
        if isinstance(picture, av.VideoStream):
            picture.width = picture.height = SIDE
            picture.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(picture_codec, "yuv420p")
            for i in range(FRAMES):
                shifted = np.ascontiguousarray(np.roll(pixels(), 2 * i, axis=1))
                frame = av.VideoFrame.from_ndarray(shifted, format="rgb24")
                output.mux(picture.encode(frame))
            output.mux(picture.encode(None))
        if isinstance(voice, av.AudioStream):
            block = av.AudioFrame.from_ndarray(samples()[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            converter = av.AudioResampler(voice.format.name, "mono", 48_000, voice.frame_size)
            for part in [*converter.resample(block), *converter.resample(None), None]:
                output.mux(voice.encode(part))
    return file.getvalue()


def array_files(array: Floats, member: str) -> Iterable[tuple[str, bytes]]:
    """An array as npy, npz (plain and packed) and pt."""
    import torch  # not above: every worker reads this module again

    file = io.BytesIO()
    np.save(file, array)
    yield "npy", file.getvalue()
    for form, packing in (("npz", zipfile.ZIP_STORED), ("packed.npz", zipfile.ZIP_DEFLATED)):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", packing) as archive:
            archive.writestr(f"{member}.npy", file.getvalue())
        yield form, packed.getvalue()
    file = io.BytesIO()
    torch.save(torch.from_numpy(array), file)
    yield "pt", file.getvalue()


def make_clouds() -> Iterable[tuple[str, bytes]]:
    """Clouds and meshes, in words and in bytes."""
    points = np.random.default_rng(0).standard_normal((N_POINTS, 3)).astype(np.float32)
    words = "".join(f"{x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in points.tolist()).encode()
    declared = (
        f"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {N_POINTS}\n"
        f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {N_POINTS}\nDATA "
    )
    columns = np.ascontiguousarray(points.T).tobytes()
    runs = [columns[i : i + 32] for i in range(0, len(columns), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)  # LZF that packs nothing
    yield "ascii.pcd", f"{declared}ascii\n".encode() + words
    yield "binary.pcd", f"{declared}binary\n".encode() + points.tobytes()
    lengths = struct.pack("<II", len(packed), len(columns))
    yield "packed.pcd", f"{declared}binary_compressed\n".encode() + lengths + packed
    yield "pts", f"{N_POINTS}\n".encode() + words
    yield "xyz", words
    yield from array_files(points, "points")
    ball = trimesh.creation.icosphere(subdivisions=1)
    for form in ("obj", "off", "stl", "stl_ascii", "ply"):
        content = ball.export(file_type=form)
        yield form, content.encode() if isinstance(content, str) else bytes(content)
    content = ball.export(file_type="ply", encoding="ascii")
    yield "ascii.ply", content.encode() if isinstance(content, str) else bytes(content)


def make_depths() -> Iterable[tuple[str, bytes]]:
    """Millimetres and metres."""
    metres = np.linspace(0.5, 8, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    millimetres = np.rint(1000 * metres).astype(np.uint16)
    yield "png", saved(Image.fromarray(millimetres), "PNG")
    yield "tiff", saved(Image.fromarray(millimetres), "TIFF")
    yield "float.tiff", saved(Image.fromarray(metres), "TIFF", compression="tiff_deflate")
    yield from array_files(metres, "depth")
    for form, compression in (("zip.exr", "zip16"), ("rle.exr", "rle"), ("plain.exr", "none")):
        file = io.BytesIO()
        with av.open(file, "w", format="image2pipe") as output:
            stream = output.add_stream("exr", rate=1, options={"compression": compression})
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "grayf32le"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(metres, format="grayf32le")))
            output.mux(stream.encode(None))
        yield form, file.getvalue()


def make_heat() -> Iterable[tuple[str, bytes]]:
    """8-bit greys."""
    grey = Image.fromarray(pixels()[..., 0])
    yield "png", saved(grey, "PNG")
    yield "jpg", saved(grey, "JPEG")


def make_motions() -> Iterable[tuple[str, bytes]]:
    """A table with times, and arrays."""
    motion = np.random.default_rng(0).standard_normal((6, 100)).astype(np.float32)
    rows = [
        ",".join([f"{i / 100:.2f}", *(f"{number:.4f}" for number in column)])
        for i, column in enumerate(motion.T.tolist())
    ]
    yield "csv", ("time,ax,ay,az,gx,gy,gz\n" + "\n".join(rows) + "\n").encode()
    yield (
        "rate.csv",
        (
            "# rate: 100\nax;ay;az;gx;gy;gz\n"
            + "\n".join(row.partition(",")[2].replace(",", ";") for row in rows)
        ).encode(),
    )
    yield from array_files(motion, "imu")


if __name__ == "__main__":
    sys.exit(main())
