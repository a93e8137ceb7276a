"""Sound to the log-mel spectrograms that the audio tower reads.

A sound is resampled to 16 kHz and cut into clips of two seconds; each becomes 128 mel bands of 198
frames, padded to 204. ``reference=True`` is the published way: three clips wherever they fall, the
first channel alone, and the mean of a clip subtracted in place, so that overlapping clips see each
other's. By default all of the sound is heard (up to ``max_clips`` clips), channels are averaged,
and every clip loses its own mean only.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .clips import CLIP_SECONDS, clip_starts, clips_to_cover
from .media import (
    Floats,
    Waveform,
    as_array,
    check_finite,
    is_source,
    label,
    one_line,
    open_bytes,
    open_container,
)

RATE = 16_000  # samples a second of what the filter bank reads
FRAME_SHIFT = RATE * 10 // 1000  # 10 ms
WINDOW = RATE * 25 // 1000  # 25 ms
FFT_SIZE = 512  # the next power of two
LOWEST_HZ = 20.0
PRE_EMPHASIS = 0.97
LOG_FLOOR = np.finfo(np.float32).eps  # Kaldi's: the smallest energy that is told from silence
REFERENCE_CLIPS = 3

LOWPASS_ZEROS = 6  # zero crossings of the resampling sinc on each side
ROLLOFF = 0.99  # of the Nyquist frequency
MAX_PHASES = 1000  # of the resampling kernel; odder rates are off by less than 1e-6
CHUNK = 2**20  # numbers of resampling windows copied at a time

MAX_AUDIO_SECONDS = 3600
MAX_AUDIO_NUMBERS = 200_000_000  # samples times channels held in memory: 800 MB
TRUNCATED = 0.9  # of the samples that the header promises; fewer means that the file was cut
RATES = (1_000, 768_000)  # sampling rates that are believed
BLOCK = 2**18  # samples read from a file at a time


def load_sound(item: object, *, mono: bool = False) -> Waveform:
    """Decode a sound, or the sound of a video, whole and at its own rate.

    Args:
        item: A path, bytes or a file object (wav, flac, ogg, mp3 through libsndfile, the rest
            through FFmpeg), or a :class:`Waveform`.
        mono: Average the channels while reading.

    Raises:
        MediaError: It cannot be read, has no sound, is damaged, or longer than an hour.
    """
    name = label(item)
    if isinstance(item, Waveform):
        sound = _checked(item, name)
        return _mixed(sound) if mono else sound
    rate = 0
    n_numbers = 0
    blocks: list[Floats] = []
    for block, rate_now in _iter_blocks(item, name):
        rate = rate_now
        blocks.append(block.mean(axis=0, keepdims=True) if mono else block)
        n_numbers += blocks[-1].size
        if n_numbers > MAX_AUDIO_NUMBERS:
            raise MediaError(f"{name} has more than {MAX_AUDIO_NUMBERS:,} samples; cut it")
    if not blocks:
        raise MediaError(f"{name} has no samples")
    if len({len(block) for block in blocks}) > 1:
        raise MediaError(f"{name} changes its number of channels; cut it there")
    return _checked(Waveform(samples=np.concatenate(blocks, axis=1), rate=rate), name)


def load_resampled(item: object) -> Floats:
    """The average of a sound's channels at 16 kHz, ``(n,)``.

    What :func:`resample` makes of :func:`load_sound`, but a long file is never held at its own
    rate: an hour takes 230 MB.
    """
    name = label(item)
    if isinstance(item, Waveform):
        sound = load_sound(item, mono=True)
        resampled: Floats = resample(sound.samples, sound.rate)[0]
        return resampled
    samples = _resampled(_iter_blocks(item, name), name)
    if not samples.size:
        raise MediaError(f"{name} has no samples")
    check_finite(samples, name)
    return samples


def _resampled(blocks: Iterable[tuple[Floats, int]], name: str) -> Floats:
    """Blocks of one sound, averaged and resampled piece by piece, ``(n,)``.

    Pieces overlap by more than the reach of the resampling kernel, so that none shows its ends.
    """
    out: list[Floats] = []
    waiting: list[Floats] = []
    n_waiting = before = step = overlap = old = new = rate = 0
    for block, rate_now in blocks:
        if not rate:
            rate = rate_now
            kernel, old, width = _resampling_kernel(rate)
            new = len(kernel)
            overlap = (width // old + 2) * old
            step = max(BLOCK // old * old, overlap)
        if rate_now != rate:
            raise MediaError(f"{name} changes its rate from {rate} to {rate_now} Hz; cut it there")
        waiting.append(block.mean(axis=0))
        n_waiting += block.shape[1]
        while n_waiting >= before + step + overlap:
            piece = np.concatenate(waiting)
            part = resample(piece[None, : before + step + overlap], rate)[0]
            out.append(part[before // old * new : (before + step) // old * new])
            waiting = [piece[before + step - overlap :]]
            n_waiting, before = len(waiting[0]), overlap
    if n_waiting:
        rest = resample(np.concatenate(waiting)[None], rate)[0]
        out.append(rest[before // old * new :])
    return np.concatenate(out) if out else np.empty(0, np.float32)


def _mixed(sound: Waveform) -> Waveform:
    """The average of all channels."""
    return Waveform(samples=sound.samples.mean(axis=0, keepdims=True), rate=sound.rate)


def _checked(sound: Waveform, name: str) -> Waveform:
    """Refuse sounds without samples, with an absurd rate, or with NaN."""
    samples = np.asarray(as_array(sound.samples))
    if samples.ndim != 2 or samples.dtype.kind != "f":
        raise MediaError(
            f"{name}: samples of shape {samples.shape} and type {samples.dtype}: "
            "expected floats of shape (channels, n)"
        )
    if samples.shape[0] > samples.shape[1] and samples.shape[1] > 0:
        raise MediaError(f"{name}: samples of shape {samples.shape} are (n, channels); transpose")
    if not samples.size:
        raise MediaError(f"{name} has no samples")
    _check_length(samples.shape[1], sound.rate, name)
    check_finite(samples, name)
    return Waveform(samples=samples.astype(np.float32, copy=False), rate=sound.rate)


def _check_length(n_samples: int, rate: int, name: str) -> None:
    """Refuse a sound of a rate that cannot be, or that is too long."""
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"{name}: a rate of {rate} Hz; expected {RATES[0]} to {RATES[1]}")
    if n_samples > MAX_AUDIO_SECONDS * rate:
        raise MediaError(f"{name} lasts more than {MAX_AUDIO_SECONDS} s; cut it")


def _iter_blocks(item: object, name: str) -> Iterator[tuple[Floats, int]]:
    """A sound in blocks ``(channels, n)``, each with its rate, by whichever library knows it."""
    if as_array(item) is not None:
        raise MediaError(f"{name} does not tell its rate; wrap it: Waveform(samples=..., rate=...)")
    if not is_source(item):
        raise MediaError(f"{name} is no sound; give a path, bytes, a file object or a Waveform")
    n_samples = 0
    with open_bytes(item) as file:
        known = _is_known(file, name)
        blocks = _iter_soundfile(file, name) if known else _iter_container(file, name)
        for block, rate in blocks:
            n_samples += block.shape[1]
            _check_length(n_samples, rate, name)
            yield block, rate


def _is_known(file: BinaryIO, name: str) -> bool:
    """Whether libsndfile reads a file."""
    import soundfile

    _check_riff(file, name)
    try:
        soundfile.SoundFile(file).close()
    except soundfile.LibsndfileError:
        return False
    finally:
        file.seek(0)
    return True


def _iter_soundfile(file: BinaryIO, name: str) -> Iterator[tuple[Floats, int]]:
    """Read with libsndfile."""
    import soundfile

    n_samples = 0
    try:
        with soundfile.SoundFile(file) as sound:
            n_promised = sound.frames
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                n_samples += len(block)
                yield np.asarray(block, np.float32).T, sound.samplerate
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{name} is a damaged sound: {one_line(error)}") from None
    if n_samples < TRUNCATED * n_promised:
        raise MediaError(f"{name} is truncated: {n_samples:,} of {n_promised:,} samples")


def _check_riff(file: BinaryIO, name: str) -> None:
    """Refuse a wav that ends before its header says; libsndfile would read what is there."""
    head = file.read(12)
    size = file.seek(0, 2)
    file.seek(0)
    promised = int.from_bytes(head[4:8], "little") + 8
    streamed = promised in (8, 0xFFFFFFFF + 8)  # written before the size was known
    if head[:4] == b"RIFF" and head[8:] == b"WAVE" and size < promised and not streamed:
        raise MediaError(f"{name} is truncated: {size:,} of {promised:,} bytes")


def _iter_container(file: BinaryIO, name: str) -> Iterator[tuple[Floats, int]]:
    """Decode the first sound track with FFmpeg."""
    import av

    with open_container(file, name) as container:
        if not container.streams.audio:
            raise MediaError(f"{name} has no sound")
        # The same rate and layout, as floats; interleaved, since PyAV reads planes of eight
        # channels and beyond them whatever lies there.
        resampler = av.AudioResampler(format="flt")
        for frame in container.decode(container.streams.audio[0]):
            for block in resampler.resample(frame):
                samples = block.to_ndarray().reshape(-1, block.layout.nb_channels)
                yield np.ascontiguousarray(samples.T, np.float32), block.sample_rate


@cache
def _resampling_kernel(rate: int) -> tuple[Floats, int, int]:
    """The windowed sinc for every output phase, ``(phases, taps)``; with the input samples from
    one set of phases to the next, and those a window reaches back.

    Source: torchaudio's ``sinc_interp_hann``, to the rounding: the phase is a float32.
    """
    ratio = Fraction(rate, RATE).limit_denominator(MAX_PHASES)
    old, new = ratio.numerator, ratio.denominator
    cutoff = min(old, new) * ROLLOFF
    width = math.ceil(LOWPASS_ZEROS * old / cutoff)
    phase = (np.arange(0, -new, -1, dtype=np.float32) / np.float32(new))[:, None]
    time = (phase + np.arange(-width, width + old, dtype=np.float64) / old) * cutoff
    time = time.clip(-LOWPASS_ZEROS, LOWPASS_ZEROS)
    window = np.cos(time * math.pi / LOWPASS_ZEROS / 2) ** 2
    kernel = np.sinc(time) * window * (cutoff / old)
    return kernel.astype(np.float32), old, width


def resample(samples: Floats, rate: int) -> Floats:
    """``(channels, n)`` at ``rate`` to 16 kHz, band-limited; agrees with torchaudio to 1e-5."""
    if rate == RATE:
        return samples
    kernel, old, width = _resampling_kernel(rate)
    new, taps = kernel.shape
    n_samples = samples.shape[1]
    n_sets = n_samples // old + 1
    padded = np.pad(samples, ((0, 0), (width, width + old)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)[:, ::old]
    out = np.empty((len(samples), n_sets, new), np.float32)
    step = max(CHUNK // taps, 1)
    for channel in range(len(samples)):
        for start in range(0, n_sets, step):
            chunk = np.ascontiguousarray(windows[channel, start : start + step])
            np.matmul(chunk, kernel.T, out=out[channel, start : start + len(chunk)])
    n_out = -(-new * n_samples // old)
    return out.reshape(len(samples), -1)[:, :n_out]


@cache
def _mel_banks(n_mels: int) -> Floats:
    """Kaldi's triangles on the mel scale, ``(n_mels, FFT_SIZE // 2)``; the Nyquist bin counts 0."""

    def mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1127.0 * np.log1p(hz / 700.0)

    low, high = mel(np.array([LOWEST_HZ, RATE / 2]))
    edges = np.linspace(low, high, n_mels + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = mel(np.arange(FFT_SIZE // 2, dtype=np.float64) * (RATE / FFT_SIZE))
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    banks: Floats = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return banks


def filter_bank(clips: Floats, n_mels: int) -> Floats:
    """Kaldi's log-mel features of 16 kHz clips, ``(clips, n)`` to ``(clips, n_mels, frames)``.

    25 ms windows every 10 ms that lie within the clip; each loses its mean, is pre-emphasised and
    tapered by a symmetric Hann window. A clip shorter than one window has no frame.
    """
    windows = np.lib.stride_tricks.sliding_window_view(clips, WINDOW, axis=1)[:, ::FRAME_SHIFT]
    frames = windows - windows.mean(axis=2, keepdims=True)  # (clips, frames, WINDOW)
    previous = np.concatenate([frames[..., :1], frames[..., :-1]], axis=2)
    frames = (frames - np.float32(PRE_EMPHASIS) * previous) * np.hanning(WINDOW).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(frames, FFT_SIZE, axis=2)[..., :-1]).astype(np.float32)
    energy = np.square(spectrum) @ _mel_banks(n_mels).T  # (clips, frames, n_mels)
    return np.log(np.maximum(energy, LOG_FLOOR)).transpose(0, 2, 1)


@dataclass(frozen=True, kw_only=True)
class AudioPreprocessor:
    """A sound to ``(clips, 1, n_mels, n_frames)`` float32, standardised log-mel energies.

    A sound shorter than one window (25 ms) is lengthened to it with silence; a clip shorter than
    two seconds has silent columns at its end, as in the published way.
    """

    n_mels: int = 128  # bands
    n_frames: int = 204  # columns; two seconds give 198
    mean: float = -4.268  # of the log energies, over AudioSet
    std: float = 9.138  # half of which is the deviation there
    max_clips: int = 30  # a minute heard without a gap; longer sounds have gaps between clips
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare one sound that :func:`load_sound` takes."""
        if self.reference:
            sound = load_sound(item)
            samples = resample(sound.samples, sound.rate)
        else:
            samples = load_resampled(item)[None]
        if samples.shape[1] < WINDOW:
            samples = np.pad(samples, ((0, 0), (0, WINDOW - samples.shape[1])))
        cut = self._reference_clips(samples) if self.reference else self._clips(samples)
        mel = filter_bank(cut, self.n_mels)[..., : self.n_frames]
        mel = np.pad(mel, ((0, 0), (0, 0), (0, self.n_frames - mel.shape[2])))
        out: Floats = (mel[:, None] - np.float32(self.mean)) / np.float32(self.std)
        return out

    def _clips(self, samples: Floats) -> Floats:
        """As many clips as cover the sound, ``(clips, n)``, each without its mean."""
        duration = samples.shape[1] / RATE
        starts = clip_starts(duration, clips_to_cover(duration, self.max_clips))
        cut = np.stack([samples[0, _span(start)] for start in starts])
        cut -= cut.mean(axis=1, keepdims=True)
        return cut

    def _reference_clips(self, samples: Floats) -> Floats:
        """Three clips of the first channel; each mean is subtracted from the sound itself."""
        samples = samples.copy()
        cut: list[Floats] = []
        for start in clip_starts(samples.shape[1] / RATE, REFERENCE_CLIPS):
            clip = samples[:, _span(start)]
            clip -= clip.mean()
            cut.append(clip[0].copy())
        return np.stack(cut)


def _span(start: Fraction) -> slice:
    """The samples of the clip that starts after ``start`` seconds."""
    return slice(int(start * RATE), int((start + CLIP_SECONDS) * RATE))
