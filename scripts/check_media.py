"""Embed one file of every format that anybind reads, from Python and from the command line.

The files are made in a temporary folder from a scene of the world; the sample media beside the
checkout, where they are, come after them. For each: what the preparation made of it, and how long
it took with the encoder; for each modality, the most memory the process ever held. The encoder is
``imagebind-mini``, or ``imagebind_huge`` with random weights, one modality at a time.

    python scripts/check_media.py
    python scripts/check_media.py --size huge --precision bf16 --modality points depth
    python scripts/check_media.py --modality points --points 1000000
"""

import argparse
import io
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import torch
import trimesh
from PIL import Image

from anybind.cli import main as command_line
from anybind.encoders.config import imagebind_huge
from anybind.encoders.encoder import load_encoder
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.media import Floats, Pixels
from anybind.encoders.modality import TOWER_OF, Modality
from anybind.encoders.weights import save_weights
from anybind.errors import AnyBindError
from anybind.pipeline import AnyBind
from anybind.world.cloud import cloud
from anybind.world.heat import thermal
from anybind.world.motion import IMU_RATE, imu
from anybind.world.render import render
from anybind.world.scene import scene
from anybind.world.sound import sound
from anybind.world.synthesis import SOUND_RATE
from anybind.world.video import VIDEO_FPS, frames

SCENE = 7
SIZE = 256  # pixels a side of what is made
SECONDS = 4
SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
SAMPLES_OF = {  # sample media by modality; texts need no file
    Modality.IMAGE: ("*.jpg", "*.png"),
    Modality.AUDIO: ("*.wav",),
    Modality.VIDEO: ("*.mp4",),
    Modality.POINTS: ("*.npy", "*.pt"),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}  # between one item a batch and all in one


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--size", choices=("mini", "huge"), default="mini")
    add("--precision", choices=tuple(DTYPES), default="fp32")
    add("--modality", nargs="+", type=Modality, choices=list(Modality), default=list(Modality))
    add("--points", type=int, default=8192, help="of the clouds that are made")
    args = parser.parse_args()
    known = load_encoder().modalities if args.size == "mini" else tuple(Modality)
    asked = [modality for modality in args.modality if modality in known]
    if len(asked) == 1:
        check(asked[0], args.size, args.precision, args.points)
        return
    print("| modality | file | prepared | seconds |\n| --- | --- | --- | --- |", flush=True)
    for modality in asked:  # a process each, as the most memory held never falls
        options = ["--size", args.size, "--precision", args.precision, "--modality", modality]
        options += ["--points", str(args.points)]
        subprocess.run([sys.executable, __file__, *options], check=True)


def check(modality: Modality, size: str, precision: str, n_points: int) -> None:
    """Embed every file of one modality and print a row for each."""
    with tempfile.TemporaryDirectory() as folder:
        items = make(modality, Path(folder), n_points)
        for pattern in SAMPLES_OF.get(modality, ()):
            items += [str(path) for path in sorted(SAMPLES.glob(pattern))]
        weights = "imagebind-mini" if size == "mini" else random_huge(modality, Path(folder))
        ab = AnyBind(load_encoder(weights, precision=precision))
        prepare = ab.encoder.preprocessor(modality)
        rows: list[npt.NDArray[np.float32]] = []
        for item in items:
            started = time.perf_counter()
            rows.append(ab.encoder.encode(modality, [item])[0])
            seconds = time.perf_counter() - started
            shape = " x ".join(map(str, prepare(item).shape))
            name = Path(item).name if len(item) < 100 else f"{item[:20]}…"
            print(f"| {modality} | {name} | {shape} | {seconds:.2f} |", flush=True)
        del ab
        out = str(Path(folder, "vectors.npy"))
        options = ["--encoder", weights, "--precision", precision, "--out", out]
        inputs = [word for item in items for word in (f"--{modality}", item)]
        with redirect_stdout(sys.stderr):
            code = command_line(["embed", *inputs, *options])
        if code:
            raise AnyBindError(f"the command could not embed {modality}")
        difference = float(np.abs(np.load(out) - np.stack(rows)).max())
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {modality} | {len(items)} files | most memory {megabytes:,.0f} MB | |", flush=True)
    if not difference < TOLERANCE[precision]:
        raise AnyBindError(f"{modality}: the command line differs by {difference:.1e}")


def random_huge(modality: Modality, folder: Path) -> str:
    """A weight file with the tower of one modality at its published size."""
    torch.manual_seed(0)
    path = folder / "huge.safetensors"
    save_weights(ImageBind(imagebind_huge(), towers=[TOWER_OF[modality]]).bfloat16(), path)
    return str(path)


def make(modality: Modality, folder: Path, n_points: int) -> list[str]:
    """One file of every format of a modality, or the items themselves if these are texts."""
    if modality is Modality.TEXT:
        return ["a red train on snow", "雪地上的红色火车", "word " * 200]
    if modality is Modality.POINTS:
        return [str(path) for path in make_clouds(folder, n_points)]
    return [str(path) for path in MAKERS[modality](folder)]


def make_images(folder: Path) -> list[Path]:
    """Through Pillow."""
    picture = Image.fromarray(render(scene(SCENE), SIZE).image)
    names = ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tiff"]
    for name in names:
        picture.save(folder / name)
    return [folder / name for name in names]


def make_sounds(folder: Path) -> list[Path]:
    """Formats, depths of samples, rates, channels and lengths."""
    mono = sound(scene(SCENE), SECONDS).astype(np.float64) / 2**15
    surround = np.stack([mono] * 6, axis=1)
    ten_minutes = np.resize(mono, 600 * SOUND_RATE)
    written = {
        "16.wav": (mono, SOUND_RATE, "PCM_16"),
        "8-bit.wav": (mono, 8_000, "PCM_U8"),
        "24-bit.wav": (surround[:, :2], 48_000, "PCM_24"),
        "float.wav": (surround, 96_000, "FLOAT"),
        "short.wav": (mono[: SOUND_RATE // 10], SOUND_RATE, "PCM_16"),
        "silent.wav": (0 * mono, 44_100, "PCM_16"),
        "10-minutes.wav": (ten_minutes, SOUND_RATE, "PCM_16"),
        "a.flac": (mono, 44_100, None),
        "a.ogg": (mono, 44_100, "VORBIS"),
        "a.mp3": (mono, 44_100, None),
    }
    for name, (samples, rate, subtype) in written.items():
        soundfile.write(folder / name, samples, rate, subtype=subtype)
    encode_media(folder / "a.m4a", None, mono, ("", "aac"))
    encode_media(folder / "sound-of.mp4", moving(), mono, ("libx264", "aac"))
    return [*(folder / name for name in written), folder / "a.m4a", folder / "sound-of.mp4"]


def moving() -> Pixels:
    """The video of a scene."""
    times = [i / VIDEO_FPS for i in range(VIDEO_FPS * SECONDS)]
    return frames(scene(SCENE), SIZE, times)


def make_videos(folder: Path) -> list[Path]:
    """Containers, with and without sound, and a picture that is turned."""
    pictures, heard = moving(), sound(scene(SCENE), SECONDS) / 2**15
    encode_media(folder / "a.mp4", pictures, heard, ("libx264", "aac"))
    encode_media(folder / "silent.mp4", pictures, None, ("libx264", ""))
    encode_media(folder / "turned.mp4", pictures, None, ("libx264", ""), rotation=90)
    encode_media(folder / "a.webm", pictures, heard, ("libvpx-vp9", "libopus"))
    encode_media(folder / "a.mkv", pictures, heard, ("libx264", "flac"))
    encode_media(folder / "a.gif", pictures, None, ("gif", ""))
    encode_media(folder / "one-frame.mp4", pictures[:1], None, ("libx264", ""))
    return sorted(folder.iterdir())


def encode_media(
    path: Path,
    pictures: Pixels | None,
    samples: npt.NDArray[np.float64] | None,
    codecs: tuple[str, str],
    rotation: int = 0,
) -> None:
    """Write a video, a sound, or both, through FFmpeg."""
    with av.open(str(path), "w") as output:
        picture: av.VideoStream | None = None
        voice: av.AudioStream | None = None
        if pictures is not None:
            stream = output.add_stream(codecs[0], rate=VIDEO_FPS)
            assert isinstance(stream, av.VideoStream)
            picture = stream
            picture.width = picture.height = SIZE
            picture.pix_fmt = "rgb8" if codecs[0] == "gif" else "yuv420p"
            if rotation:
                picture.set_display_rotation(rotation)
        if samples is not None:
            track = output.add_stream(codecs[1], rate=48_000, layout="mono")
            assert isinstance(track, av.AudioStream)
            voice = track
        if picture is not None and pictures is not None:
            for pixels in pictures:
                output.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            output.mux(picture.encode(None))
        if voice is not None and samples is not None:
            planar = samples[None].astype(np.float32)
            block = av.AudioFrame.from_ndarray(planar, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            converter = av.AudioResampler(voice.format.name, voice.layout.name, 48_000)
            for part in [*converter.resample(block), None]:
                output.mux(voice.encode(part))


def make_clouds(folder: Path, n: int) -> list[Path]:
    """Clouds of ``n`` points, meshes, and clouds of awkward sizes and places."""
    points = cloud(scene(SCENE), n)
    words = io.BytesIO()
    np.savetxt(words, points, "%.6f")
    header = (
        f"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {len(points)}\n"
        f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA "
    )
    declared = (
        f"ply\nformat {{}} 1.0\nelement vertex {len(points)}\nproperty float x\n"
        "property float y\nproperty float z\nend_header\n"
    )
    columns = np.ascontiguousarray(points.T).tobytes()
    runs = [columns[i : i + 32] for i in range(0, len(columns), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)  # LZF that packs nothing
    contents = {
        "ascii.pcd": f"{header}ascii\n".encode() + words.getvalue(),
        "binary.pcd": f"{header}binary\n".encode() + points.tobytes(),
        "packed.pcd": f"{header}binary_compressed\n".encode()
        + struct.pack("<II", len(packed), len(columns))
        + packed,
        "ascii.ply": declared.format("ascii").encode() + words.getvalue(),
        "binary.ply": declared.format("binary_little_endian").encode() + points.tobytes(),
        "a.pts": f"{len(points)}\n".encode() + words.getvalue(),
        "a.xyz": words.getvalue(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    ball = trimesh.creation.icosphere()
    for name in ("mesh.ply", "mesh.obj", "mesh.off", "mesh.stl"):
        ball.export(folder / name)
    far = np.vstack([points + 1e6, np.full((9, 3), np.nan)])
    np.save(folder / "far-with-holes.npy", far)
    np.savez(folder / "a.npz", points=points)
    torch.save(torch.from_numpy(points), folder / "a.pt")
    np.save(folder / "ten-points.npy", points[:10])
    million = np.random.default_rng(0).standard_normal((1_000_000, 3)).astype(np.float32)
    np.save(folder / "million.npy", million)
    return sorted(folder.iterdir())


def make_depths(folder: Path) -> list[Path]:
    """Millimetres and metres."""
    metres: Floats = np.nan_to_num(render(scene(SCENE), SIZE).depth, posinf=0.0).astype(np.float32)
    millimetres = np.rint(metres * 1000).astype(np.uint16)
    for name in ("16-bit.png", "16-bit.tiff"):
        Image.fromarray(millimetres).save(folder / name)
    np.save(folder / "a.npy", metres)
    np.savez(folder / "a.npz", depth=metres)
    with av.open(str(folder / "a.exr"), "w", format="image2") as output:
        stream = output.add_stream("exr", rate=1, options={"compression": "zip16"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "grayf32le"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(metres, format="grayf32le")))
        output.mux(stream.encode(None))
    return sorted(folder.iterdir())


def make_heat(folder: Path) -> list[Path]:
    """8-bit greys."""
    picture = Image.fromarray(thermal(scene(SCENE), SIZE))
    for name in ("a.png", "a.jpg", "a.tiff"):
        picture.save(folder / name)
    return sorted(folder.iterdir())


def make_motions(folder: Path) -> list[Path]:
    """A table with times, one with other names, and arrays that lie either way."""
    samples = imu(scene(SCENE))
    seconds = np.arange(samples.shape[1]) / IMU_RATE
    rows = np.column_stack([seconds, samples.T])
    names = "time,ax,ay,az,gx,gy,gz"
    np.savetxt(folder / "a.csv", rows, "%.7g", delimiter=",", header=names, comments="")
    names = "timestamp_ms;gyro_x;gyro_y;gyro_z;acc_x;acc_y;acc_z"
    other = np.column_stack([1000 * seconds, samples[[3, 4, 5, 0, 1, 2]].T])
    np.savetxt(folder / "other.csv", other, "%.7g", delimiter=";", header=names, comments="")
    np.save(folder / "rows.npy", samples)
    np.save(folder / "columns.npy", samples.T)
    return sorted(folder.iterdir())


MAKERS: dict[Modality, Callable[[Path], Sequence[Path]]] = {
    Modality.IMAGE: make_images,
    Modality.AUDIO: make_sounds,
    Modality.VIDEO: make_videos,
    Modality.DEPTH: make_depths,
    Modality.THERMAL: make_heat,
    Modality.IMU: make_motions,
}


if __name__ == "__main__":
    main()
