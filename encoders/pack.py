"""What is in memory, as the content of a file: for sending media to where there is only a loader.

Every format here is lossless, so that the loader of a modality reads the very numbers back. What is
in a file already stays as it is.
"""

import io
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
from PIL import Image

from ..errors import MediaError
from .audio import load_sound
from .images import open_image
from .imu import load_motion
from .media import Array, Frames, Motion, as_array, is_source, label, open_bytes
from .modality import Modality

QUICK = 1  # of zlib's levels: media are sent once
LARGEST_DENOMINATOR = 10_000  # of a frame rate as a fraction; 30000/1001 has 1001


def pack(modality: Modality, item: object) -> bytes:
    """A medium as the content of a file that its loader reads.

    Args:
        modality: Of any medium but text.
        item: What the loader takes: a path, bytes, a file object, or what is in memory. Pictures
            are sent upright, without transparency, as loaders open them unless ``reference`` is
            asked for.

    Raises:
        MediaError: It cannot be read, or is no such medium.
    """
    if is_source(item):
        with open_bytes(item) as file:
            return file.read()
    return _PACKERS[modality](item)


def _picture(item: object) -> bytes:
    """A PIL image or an array as PNG."""
    file = io.BytesIO()
    open_image(item).save(file, "PNG", compress_level=QUICK)
    return file.getvalue()


def _numbers(item: object) -> bytes:
    """An array, a tensor, or the numbers of a one-channel PIL image as npy."""
    array: Array | None = np.asarray(item) if isinstance(item, Image.Image) else as_array(item)
    if array is None or array.dtype.kind not in "fiu":
        found = f"an array of {array.dtype}" if array is not None else label(item)
        raise MediaError(f"{found} cannot be sent; give a path, bytes, a file or numbers")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _motion(item: object) -> bytes:
    """A recording as npy, which is at 400 Hz, or as csv, which tells its rate."""
    if not isinstance(item, Motion):
        return _numbers(item)
    motion = load_motion(item)
    n_samples = motion.samples.shape[1]
    table = np.vstack([motion.samples, np.full(n_samples, motion.rate)]).T
    file = io.BytesIO()
    np.savetxt(file, table, "%.17g", ",", header="ax,ay,az,gx,gy,gz,rate", comments="")
    return file.getvalue()


def _sound(item: object) -> bytes:
    """A waveform as wav, of floats."""
    import soundfile

    sound = load_sound(item)
    file = io.BytesIO()
    soundfile.write(file, sound.samples.T, sound.rate, "FLOAT", format="WAV")
    return file.getvalue()


def _video(item: object) -> bytes:
    """Frames as PNG in a QuickTime file, which keeps times in units of the frame rate."""
    import av

    if not isinstance(item, Frames):
        raise MediaError(
            f"{label(item)} is no video, or does not tell its rate; give a path, bytes, a file "
            "object or Frames(frames=..., fps=...)"
        )
    frames = as_array(item.frames)
    if frames is None or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        found = "no array" if frames is None else f"{frames.dtype} {frames.shape}"
        raise MediaError(f"video frames are {found}; expected uint8 (T, H, W, 3)")
    if not frames.size or not 0 < item.fps < np.inf:
        raise MediaError(
            f"video frames of shape {frames.shape} at {item.fps} frames a second hold nothing"
        )
    rate = Fraction(item.fps).limit_denominator(LARGEST_DENOMINATOR)
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("png", rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


_PACKERS: Mapping[Modality, Callable[[object], bytes]] = {
    Modality.IMAGE: _picture,
    Modality.THERMAL: _picture,
    Modality.DEPTH: _numbers,
    Modality.POINTS: _numbers,
    Modality.IMU: _motion,
    Modality.AUDIO: _sound,
    Modality.VIDEO: _video,
}
