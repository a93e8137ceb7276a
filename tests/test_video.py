"""Video: the published clips; by default upright, whole and cheap; every container and bad file."""

import io
import json
import math
import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from anybind.encoders.clips import clip_starts
from anybind.encoders.images import ImagePreprocessor, normalise_images
from anybind.encoders.media import Floats, Frames, Pixels
from anybind.encoders.video import Timeline, VideoPreprocessor, read_frames, read_timeline
from anybind.errors import MediaError

from .parity import hold

SQUARES = "squares.mp4"  # 160 x 120 pixels, 25 frames a second, 150 frames


@pytest.mark.parametrize("published", ["decord", "pyav"])
def test_reference_clips_are_the_published_ones(published: str, data: Path) -> None:
    """Real pytorchvideo on decord (ImageBind) and on PyAV (ImageBind-LLM)."""
    golden = np.load(data / "parity" / "preprocess.npz")
    meta = json.loads((data / "parity" / "preprocess.json").read_text())
    clips = VideoPreprocessor(size=224, reference=True)(data / "samples" / SQUARES)
    key = f"video/{SQUARES}/{published}"
    assert list(clips.shape) == meta["videos"][SQUARES][published]["shape"]
    tolerance = meta["tolerance"]["video from stored frames"]
    difference = np.abs(clips.reshape(-1)[::97] - golden[f"{key}/values"]).max()
    hold(f"preprocess: video as {published}, values", float(difference), tolerance)
    exact = clips.astype(np.float64)
    np.testing.assert_allclose(exact.mean((3, 4)), golden[f"{key}/mean"], atol=tolerance)
    np.testing.assert_allclose(exact.std((3, 4)), golden[f"{key}/std"], atol=1e-4)


def test_reference_frames_are_the_published_ones(data: Path) -> None:
    """Frame numbers are written in the picture, and stored in the fixture."""
    golden = np.load(data / "parity" / "preprocess.npz")[f"video/{SQUARES}/decord/frames"]
    path = data / "samples" / SQUARES
    timeline = read_timeline(path)
    picked = [timeline.counted(start) for start in clip_starts(timeline.counted_duration, 5)]
    assert picked == [(0, 49), (25, 74), (50, 99), (75, 124), (100, 149)]
    wanted = [place for pair in picked for place in pair]
    frames = read_frames(path, timeline, wanted, np.array, upright=False)
    np.testing.assert_allclose(np.stack(frames), golden.reshape(10, 120, 160, 3), atol=1)


def numbered(n_frames: int, height: int = 48, width: int = 64) -> Pixels:
    """Grey frames, each as bright as its number."""
    grey = np.arange(n_frames, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(grey, (n_frames, height, width, 3)).copy()


def brightness(clips: Floats) -> list[list[int]]:
    """The numbers of the frames of each clip, from the first colour of their centres."""
    levels = clips[:, 0, :, 16, 16] * 0.26862954 + 0.48145466
    numbers: list[list[int]] = np.rint(levels * 255).astype(int).tolist()
    return numbers


def test_arrays_are_cut_into_clips_by_their_rate() -> None:
    """Two seconds at 10 frames a second are 20 frames, of which the ends are shown."""
    prepare = VideoPreprocessor(size=32)
    assert brightness(prepare(Frames(frames=numbered(60), fps=10))) == [[0, 19], [20, 39], [40, 59]]
    assert brightness(prepare(Frames(frames=numbered(7), fps=10))) == [[0, 6]]
    assert brightness(prepare(Frames(frames=numbered(1), fps=10))) == [[0, 0]]


def test_a_slow_video_shows_the_frame_that_is_on_screen() -> None:
    """One frame each five seconds: clips start at 0, 2, ..., 8 s; the second frame comes at 5 s."""
    clips = VideoPreprocessor(size=32)(Frames(frames=numbered(2), fps=0.2))
    assert brightness(clips) == [[0, 0], [0, 0], [1, 1], [1, 1], [1, 1]]


def test_frames_are_found_by_their_times_when_the_rate_varies() -> None:
    """A second at 4 frames a second, then three at 1: counting at the mean rate would go astray."""
    timeline = Timeline(stamps=[7, 8, 9, 10, 11, 15, 19], jumps=[7], unit=Fraction(1, 4), fps=7 / 4)
    assert timeline.duration == 3 + 4 / 7
    assert timeline.between(Fraction(0)) == (0, 4)  # up to, and without, 2 s: stamp 15
    assert timeline.between(Fraction(2)) == (5, 6)
    assert timeline.between(Fraction(5, 4)) == (5, 6)


def test_frames_look_like_still_images_by_default(data: Path) -> None:
    """The oracle is the image preprocessor on the decoded frame."""
    path = data / "samples" / SQUARES
    clips = VideoPreprocessor(size=96)(path)
    assert clips.shape == (3, 3, 2, 96, 96)
    (frame,) = read_frames(path, read_timeline(path), [50], np.array, upright=True)
    still = ImagePreprocessor(size=96)(Image.fromarray(frame))
    np.testing.assert_array_equal(clips[1, :, 0], normalise_images(still[None])[0])


def test_the_length_of_a_video_bounds_its_cost() -> None:
    prepare = VideoPreprocessor(size=32, max_clips=4)
    assert brightness(prepare(Frames(frames=numbered(200), fps=2))) == [
        [0, 3],
        [66, 69],
        [131, 134],
        [196, 199],
    ]


def encoded(container: str, codec: str, *, rotation: int = 0, n_frames: int = 75) -> bytes:
    """Three seconds: a blue bar at the top, and a red half whose shade is the frame's number."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(n_frames):
            pixels = np.zeros((120, 160, 3), np.uint8)
            pixels[60:, :, 0] = 3 * number
            pixels[:12, :, 2] = 200
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


CONTAINERS = {
    "mp4": ("mp4", "libx264"),
    "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx-vp9"),
    "avi": ("avi", "mpeg4"),
    "gif": ("gif", "gif"),
    "ts": ("mpegts", "libx264"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_shows_the_first_and_last_frame(name: str) -> None:
    """Clips of 0-2 s and 1-3 s: frames 0, 49, 25, 74 of 75; their shade is three times that."""
    container, codec = CONTAINERS[name]
    clips = VideoPreprocessor(size=60)(encoded(container, codec))
    shades = (clips[:, 0, :, 45, 30] * 0.26862954 + 0.48145466) * 255
    tolerance = 40 if name == "gif" else 8  # three bits of red; lossy codecs
    np.testing.assert_allclose(shades, [[0, 147], [75, 222]], atol=tolerance)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="needs av 18")
@pytest.mark.parametrize(
    ("rotation", "edge"), [(0, "top"), (90, "left"), (180, "bottom"), (-90, "right")]
)
def test_rotated_videos_are_turned_upright(rotation: int, edge: str) -> None:
    """The bar at the top, turned counter-clockwise by the angle that the file asks for."""
    content = encoded("mp4", "libx264", rotation=rotation, n_frames=5)
    (frame,) = read_frames(content, read_timeline(content), [0], np.array, upright=True)
    blue = frame[:, :, 2].astype(float)
    edges = {"top": blue[:8], "bottom": blue[-8:], "left": blue[:, :8], "right": blue[:, -8:]}
    assert max(edges, key=lambda name: edges[name].mean()) == edge


def timed(stamps: list[int], unit: Fraction, *, container: str = "mp4") -> bytes:
    """Frames as bright as 9 times their number, each shown from its stamp on."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1", "bf": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = unit
        for number, stamp in enumerate(stamps):
            grey = np.full((48, 64, 3), 9 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = stamp, unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def shown(content: bytes) -> list[list[int]]:
    """The numbers of the frames of each clip."""
    levels = np.array(brightness(VideoPreprocessor(size=32)(content))) / 9
    numbers: list[list[int]] = np.rint(levels).astype(int).tolist()
    return numbers


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_file_of_varying_rate_shows_its_frames_at_their_times(container: str) -> None:
    """A second at 10 frames a second, then three at 2: clips of 0-2 s and of (about) 2-4 s show
    frames 0, 11 (at 1.5 s), 12 (at 2 s) and 15; counting at the mean rate would end the first
    clip with frame 7."""
    stamps = [100 * i for i in range(10)] + [1000 + 500 * i for i in range(6)]
    first, *_, last = shown(timed(stamps, Fraction(1, 1000), container=container))
    assert first == [0, 11]
    assert last in ([11, 15], [12, 15])


@pytest.mark.parametrize("rate", [Fraction(24_000, 1001), Fraction(15, 2), Fraction(60)])
def test_odd_rates_end_the_first_clip_before_two_seconds(rate: Fraction) -> None:
    """Of 25 frames the last one that begins before 2 s."""
    stamps = list(range(25))
    expected = min(math.ceil(2 * rate) - 1, 24)
    assert shown(timed(stamps, 1 / rate))[0] == [0, expected]


def test_a_video_of_one_frame_is_a_clip_of_it_twice() -> None:
    assert shown(timed([0], Fraction(1, 25))) == [[0, 0]]


def test_two_hours_cost_as_many_clips_as_half_a_minute() -> None:
    """A frame each five minutes: 15 clips from the first to the last."""
    clips = shown(timed([300 * i for i in range(25)], Fraction(1)))
    assert len(clips) == 15
    assert clips[0] == [0, 0]
    assert clips[-1][-1] == 24


def test_an_animated_gif_of_pillow_is_a_video_and_its_first_frame_an_image() -> None:
    """Ten frames of a tenth of a second, palette and all, the colour of each known."""
    pictures = [Image.new("RGB", (60, 40), (20 * i, 200 - 20 * i, 0)) for i in range(10)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    clips = VideoPreprocessor(size=32)(buffer.getvalue())
    assert clips.shape == (1, 3, 2, 32, 32)
    reds = clips[0, 0, :, 16, 16] * 0.26862954 + 0.48145466
    np.testing.assert_allclose(reds * 255, [0, 180], atol=3)
    still = ImagePreprocessor(size=32)(buffer.getvalue())
    np.testing.assert_allclose(still[16, 16], [0, 200, 0], atol=3)


@pytest.mark.parametrize("name", ["mp4", "webm", "mkv", "gif"])
def test_damaged_files_never_end_in_a_traceback(name: str) -> None:
    """Cut at four places and with four bytes changed: clips, or one line."""
    rng = np.random.default_rng(0)
    whole = encoded(*CONTAINERS[name], n_frames=10)
    for _ in range(4):
        content = bytearray(whole)
        content[rng.integers(0, 300)] = rng.integers(0, 256)
        for damaged in (bytes(content), whole[: rng.integers(1, len(whole))]):
            try:
                assert VideoPreprocessor(size=32)(damaged).ndim == 5
            except MediaError as error:
                assert "\n" not in str(error)


def test_far_frames_are_reached_by_jumping(data: Path) -> None:
    """The oracle is the file decoded from end to end."""
    path = data / "samples" / SQUARES
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    timeline = read_timeline(path)
    assert len(timeline.jumps) > 2
    wanted = [148, 3, 77, 77, 149]
    found = read_frames(path, timeline, wanted, np.array, upright=False)
    np.testing.assert_array_equal(np.stack(found), np.stack([frames[i] for i in wanted]))


def test_path_bytes_and_file_agree(data: Path) -> None:
    path = data / "samples" / SQUARES
    prepare = VideoPreprocessor(size=32)
    expected = prepare(path)
    with path.open("rb") as file:
        for item in (str(path), path.read_bytes(), file, file):
            np.testing.assert_array_equal(prepare(item), expected)


@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_truncated_files_are_refused(name: str) -> None:
    content = encoded(*CONTAINERS[name])
    with pytest.raises(MediaError, match="truncated|damaged"):
        VideoPreprocessor(size=32)(content[: len(content) // 2])


BAD = {
    "text": (b"not a video at all, just some words", "no sound or video"),
    "empty": (b"", "empty"),
    "array": (numbered(5), "rate"),
    "halves": (Frames(frames=np.zeros((5, 48, 64), np.uint8), fps=5), "T, H, W, 3"),
    "planes first": (Frames(frames=numbered(5).transpose(3, 0, 1, 2), fps=5), "uint8"),
    "no rate": (Frames(frames=numbered(5), fps=0), "true rate"),
    "no frame": (Frames(frames=numbered(5)[:0], fps=5), "nothing"),
    "nothing": (None, "no video"),
    "playlist": (b"ffconcat version 1.0\nfile /etc/hostname\n", "damaged"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_videos_give_one_line(what: str) -> None:
    item, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        VideoPreprocessor(size=32)(item)
    assert "\n" not in str(caught.value)


def test_a_sound_is_no_video(data: Path) -> None:
    with pytest.raises(MediaError, match="no picture"):
        VideoPreprocessor(size=32)(data / "samples" / "tone_8k.wav")


def test_preprocessors_travel_between_processes() -> None:
    prepare = VideoPreprocessor(size=96, reference=True)
    assert pickle.loads(pickle.dumps(prepare)) == prepare
