"""Sound: the published spectrograms; by default all of it heard; every format and bad file."""

import io
import json
import pickle
import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from anybind.encoders.audio import (
    MAX_AUDIO_SECONDS,
    AudioPreprocessor,
    filter_bank,
    load_resampled,
    load_sound,
    resample,
)
from anybind.encoders.media import Floats, Waveform
from anybind.errors import MediaError

from .parity import hold

FREE = ["overlap_16k.wav", "stereo_short_22k.wav", "tone_8k.wav"]
NOT_FREE = ["dog_audio.wav", "car_audio.wav"]
SILENT_BAND = 3  # its triangle holds no bin, so it is always the smallest number
FLOOR = (np.log(1.1920929e-07) + 4.268) / 9.138
PADDING = 4.268 / 9.138


def check_parity(path: Path, data: Path) -> None:
    """Compare one file with real torchaudio 2.11 within the fixture's tolerance."""
    golden = np.load(data / "parity" / "preprocess.npz")
    meta = json.loads((data / "parity" / "preprocess.json").read_text())
    sound = load_sound(path)
    wave = resample(sound.samples, sound.rate)
    assert wave.shape[1] == meta["sounds"][path.name]["resampled"]
    np.testing.assert_allclose(wave[:, ::101], golden[f"audio/{path.name}/wave"], atol=1e-5)
    mel = AudioPreprocessor(reference=True)(path)
    assert mel.dtype == np.float32
    difference = np.abs(mel - golden[f"audio/{path.name}/mel"])
    hold("preprocess: sounds, mean", float(difference.mean()), meta["tolerance"]["audio mean"])
    hold("preprocess: sounds, max", float(difference.max()), meta["tolerance"]["audio max"])


@pytest.mark.parametrize("name", FREE)
def test_reference_spectrograms_are_the_published_ones(name: str, data: Path) -> None:
    """See parity/preprocess.json; two of the files have overlapping clips."""
    check_parity(data / "samples" / name, data)


@pytest.mark.parametrize("name", NOT_FREE)
def test_reference_spectrograms_of_the_published_sounds(
    name: str, data: Path, shared: Path
) -> None:
    """As above, on recordings that may not be copied here."""
    check_parity(shared / "samples" / name, data)


def tone(hertz: float, seconds: float, rate: int) -> Floats:
    """A sine of half the full scale."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 44101, 48000, 96000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    """The oracle is the same sine drawn at 16 kHz; the ends are left out, as zeros lie beyond."""
    found = resample(tone(440, 1, rate)[None], rate)[0]
    expected = tone(440, 1, 16_000)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-3)


def test_resampling_removes_what_16_khz_cannot_hold() -> None:
    """12 kHz lies above the new Nyquist frequency; folded back it would sound at 4 kHz."""
    assert np.abs(resample(tone(12_000, 1, 48_000)[None], 48_000)[0, 200:-200]).max() < 1e-2


def test_resampling_works_on_each_channel_and_in_chunks() -> None:
    """Several chunks of a long sound against the same sound one channel at a time, offset."""
    rng = np.random.default_rng(0)
    sound = rng.standard_normal((2, 441 * 6000)).astype(np.float32)
    both = resample(sound, 44_100)
    np.testing.assert_array_equal(both[1:], resample(sound[1:], 44_100))
    later = resample(sound[:, 441 * 3000 :], 44_100)
    np.testing.assert_allclose(both[:, 160 * 3000 + 50 :], later[:, 50:], atol=1e-5)


def test_a_tone_shows_in_its_band() -> None:
    """Band centres are evenly spaced in mel = 1127 ln(1 + f / 700) from 20 Hz to 8 kHz."""
    mel = filter_bank(tone(1000, 2, 16_000)[None], 128)[0]
    assert mel.shape == (128, 198)
    low, high = 1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700)
    band = (1127 * np.log1p(1000 / 700) - low) / (high - low) * 129 - 1
    assert abs(mel.mean(axis=1).argmax() - band) <= 1


def test_silence_and_padding_have_their_known_values() -> None:
    """log(float32 eps) standardised, and zero standardised."""
    prepare = AudioPreprocessor()
    silent = prepare(Waveform(samples=np.zeros((1, 32_000), np.float32), rate=16_000))
    np.testing.assert_allclose(silent[0, 0, :, :198], FLOOR, rtol=1e-6)
    np.testing.assert_allclose(silent[0, 0, :, 198:], PADDING, rtol=1e-6)
    noise = np.random.default_rng(0).standard_normal((1, 32_000)).astype(np.float32)
    loud = prepare(Waveform(samples=noise, rate=16_000))
    np.testing.assert_allclose(loud[0, 0, SILENT_BAND, :198], FLOOR, rtol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "n_clips"), [(0.01, 1), (2, 1), (2.03, 1), (3, 2), (4, 2), (11, 6), (600, 30)]
)
def test_clips_cover_the_whole_sound_up_to_a_limit(seconds: float, n_clips: int) -> None:
    """One clip each two seconds, rounded up, of which 50 ms of an encoder's padding is no part."""
    wave = Waveform(samples=np.zeros((1, int(16_000 * seconds)), np.float32), rate=16_000)
    assert AudioPreprocessor()(wave).shape == (n_clips, 1, 128, 204)


def test_the_first_clip_starts_and_the_last_ends_with_the_sound() -> None:
    """Each clip equals the spectrogram of its own two seconds, cut by hand."""
    noise = np.random.default_rng(0).standard_normal((1, 16_000 * 5)).astype(np.float32)
    clips = AudioPreprocessor()(Waveform(samples=noise, rate=16_000))
    assert len(clips) == 3
    for clip, start in zip(clips, (0, 24_000, 48_000), strict=True):
        alone = Waveform(samples=noise[:, start : start + 32_000], rate=16_000)
        np.testing.assert_array_equal(clip, AudioPreprocessor()(alone)[0])


def test_overlapping_clips_do_not_see_each_others_mean() -> None:
    """An offset vanishes by default; in the published way it shows through in the second clip."""
    sound = tone(440, 3, 16_000)[None]
    low = Waveform(samples=sound, rate=16_000)
    high = Waveform(samples=sound + np.float32(0.3), rate=16_000)
    np.testing.assert_allclose(AudioPreprocessor()(low), AudioPreprocessor()(high), atol=0.1)
    published = AudioPreprocessor(reference=True)
    assert np.abs(published(low)[1] - published(high)[1]).max() > 0.5


def test_channels_are_averaged_by_default_and_the_first_is_heard_by_reference() -> None:
    """A sound on the right alone: half as loud, or silence."""
    right = np.stack([np.zeros(32_000, np.float32), tone(440, 2, 16_000)])
    stereo = Waveform(samples=right, rate=16_000)
    half = Waveform(samples=right[1:] * np.float32(0.5), rate=16_000)
    np.testing.assert_array_equal(AudioPreprocessor()(stereo), AudioPreprocessor()(half))
    np.testing.assert_allclose(
        AudioPreprocessor(reference=True)(stereo)[..., :198], FLOOR, rtol=1e-6
    )


def test_the_given_samples_are_not_changed() -> None:
    samples = tone(440, 3, 16_000)[None] + np.float32(0.2)
    before = samples.copy()
    for reference in (False, True):
        AudioPreprocessor(reference=reference)(Waveform(samples=samples, rate=16_000))
    np.testing.assert_array_equal(samples, before)


def encoded(container: str, codec: str, rate: int = 44_100) -> bytes:
    """Three seconds of 440 Hz through FFmpeg."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(tone(440, 3, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        to_stream = av.AudioResampler(stream.format.name, stream.layout.name, rate)
        for part in [*to_stream.resample(frame), None]:
            output.mux(stream.encode(part))
    return buffer.getvalue()


def written(format: str, subtype: str | None = None, rate: int = 44_100) -> bytes:
    """Three seconds of 440 Hz through libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(440, 3, rate), rate, format=format, subtype=subtype)
    return buffer.getvalue()


FORMATS = {
    "wav": written("WAV"),
    "wav float": written("WAV", "FLOAT"),
    "wav 96 kHz": written("WAV", rate=96_000),
    "flac": written("FLAC"),
    "ogg": written("OGG", "VORBIS"),
    "opus": written("OGG", "OPUS", rate=48_000),
    "mp3": written("MP3"),
    "m4a": encoded("mp4", "aac"),
    "mka": encoded("matroska", "aac"),
}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_carries_the_tone(format: str) -> None:
    """The oracle is the tone itself; lossy codecs move its loudest band by little."""
    expected = AudioPreprocessor()(Waveform(samples=tone(440, 3, 16_000)[None], rate=16_000))
    found = AudioPreprocessor()(FORMATS[format])
    assert found.shape == expected.shape
    band = expected[0, 0, :, 50].argmax()
    np.testing.assert_allclose(found[0, 0, band, 20:180], expected[0, 0, band, 20:180], atol=0.03)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24)]
    + [("FLOAT", 0), ("DOUBLE", 0)],
)
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_every_depth_and_number_of_channels_gives_the_samples_written(
    subtype: str, step: float, n_channels: int
) -> None:
    """Within a step of the sample format, channel by channel; 5.1 has six."""
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, n_channels)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 44_100, format="WAV", subtype=subtype)
    sound = load_sound(buffer)
    assert sound.rate == 44_100
    np.testing.assert_allclose(sound.samples, samples.T, atol=step)
    mono = load_sound(buffer, mono=True)
    np.testing.assert_allclose(mono.samples[0], samples.mean(axis=1), atol=step + 1e-7)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 96_000])
def test_files_are_resampled_in_pieces_as_if_whole(rate: int) -> None:
    """The oracle is the whole sound resampled at once; it has several pieces and an odd end."""
    rng = np.random.default_rng(rate)
    samples = rng.uniform(-0.9, 0.9, (600_001, 2)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    expected = resample(samples.mean(axis=1)[None], rate)[0]
    np.testing.assert_allclose(load_resampled(buffer), expected, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.001, 0.1])
def test_short_and_silent_sounds_are_one_clip(seconds: float) -> None:
    """A tenth of a second of silence has 8 frames of the floor, then padding; a millisecond is
    lengthened to one frame."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(round(48_000 * seconds)), 48_000, format="WAV")
    clips = AudioPreprocessor()(buffer)
    n_frames = 8 if seconds == 0.1 else 1
    np.testing.assert_allclose(clips[0, 0, :, :n_frames], FLOOR, rtol=1e-6)
    np.testing.assert_allclose(clips[0, 0, :, n_frames:], PADDING, rtol=1e-6)


def test_ten_minutes_cost_thirty_clips_and_little_memory() -> None:
    """The file has 230 MB of samples as floats; what is held of it is 38 MB at 16 kHz, twice while
    it is put together, and the spectrograms. Counted by tracemalloc, which sees numpy's arrays."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 48_000, 2, "PCM_16", format="WAV") as file:
        for _ in range(600):
            file.write(np.zeros((48_000, 2), np.int16))
    tracemalloc.start()
    clips = AudioPreprocessor()(buffer)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clips.shape == (30, 1, 128, 204)
    assert most < 150e6


def with_picture(container: str, audio: str, video: str) -> bytes:
    """Three seconds of 440 Hz beside a grey picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        picture = output.add_stream(video, rate=5)
        assert isinstance(picture, av.VideoStream)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        stream = output.add_stream(audio, rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        grey = np.full((48, 64, 3), 99, np.uint8)
        for _ in range(15):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        output.mux(picture.encode(None))
        samples = tone(440, 3, 48_000)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        to_stream = av.AudioResampler(stream.format.name, stream.layout.name, 48_000)
        for part in [*to_stream.resample(frame), None]:
            output.mux(stream.encode(part))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("container", "audio", "video"),
    [("mp4", "aac", "libx264"), ("webm", "libopus", "libvpx"), ("matroska", "flac", "libx264")],
)
def test_the_sound_of_a_video_is_heard(container: str, audio: str, video: str) -> None:
    """The oracle is the tone itself; at its default bit rate FFmpeg's AAC wavers by a tenth."""
    expected = AudioPreprocessor()(Waveform(samples=tone(440, 3, 16_000)[None], rate=16_000))
    found = AudioPreprocessor()(with_picture(container, audio, video))
    band = expected[0, 0, :, 50].argmax()
    difference = np.abs(found[0, 0, band, 20:180] - expected[0, 0, band, 20:180])
    assert difference.mean() < 0.02
    assert difference.max() < 0.15


def test_a_video_without_sound_is_no_sound(data: Path) -> None:
    with pytest.raises(MediaError, match=r"squares\.mp4 has no sound"):
        AudioPreprocessor()(data / "samples" / "squares.mp4")


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_damaged_files_never_end_in_a_traceback(format: str) -> None:
    """Cut at five places and with five bytes changed: a sound, or one line."""
    rng = np.random.default_rng(0)
    whole = FORMATS[format]
    for _ in range(5):
        content = bytearray(whole)
        content[rng.integers(0, 200)] = rng.integers(0, 256)
        for damaged in (bytes(content), whole[: rng.integers(1, len(whole))]):
            try:
                assert load_resampled(damaged).ndim == 1
            except MediaError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "m4a"])
def test_truncated_files_are_refused(format: str) -> None:
    content = FORMATS[format]
    with pytest.raises(MediaError, match="truncated|damaged"):
        AudioPreprocessor()(content[: len(content) // 2])


def test_a_sound_of_many_channels_is_read_whole_by_ffmpeg_too() -> None:
    """Found by fuzzing: of more than eight channels the planes were read from anywhere. A chunk of
    peaks that is too short for them keeps soundfile out."""
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (800, 33)).astype(np.float32)
    head = struct.pack("<HHIIHH", 3, 33, 8000, 8000 * 4 * 33, 4 * 33, 32)  # of floats
    chunks = {b"fmt ": head, b"PEAK": bytes(16), b"data": samples.tobytes()}
    content = b"".join(name + struct.pack("<I", len(each)) + each for name, each in chunks.items())
    content = b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WAVE" + content
    with pytest.raises(soundfile.LibsndfileError, match="PEAK"):
        soundfile.read(io.BytesIO(content))
    np.testing.assert_array_equal(load_sound(content).samples, samples.T)


def test_a_streamed_wav_does_not_know_its_length() -> None:
    """Programs that write to a pipe leave 0xFFFFFFFF where the size belongs."""
    content = bytearray(FORMATS["wav"])
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    whole = AudioPreprocessor()(FORMATS["wav"])
    np.testing.assert_array_equal(AudioPreprocessor()(bytes(content)), whole)


def test_too_long_a_sound_is_refused() -> None:
    """An hour and a second, at a rate that keeps the test small."""
    samples = np.zeros((1, 1000 * (MAX_AUDIO_SECONDS + 1)), np.float32)
    with pytest.raises(MediaError, match="more than 3600 s"):
        AudioPreprocessor()(Waveform(samples=samples, rate=1000))


BAD = {
    "text": (b"not a sound at all, just some words", "no sound or video"),
    "empty": (b"", "empty"),
    "no samples": (written("WAV")[:44], "truncated|no samples"),
    "array": (tone(440, 1, 16_000), "rate"),
    "flat": (Waveform(samples=tone(440, 1, 16_000), rate=16_000), "channels, n"),
    "turned": (Waveform(samples=tone(440, 1, 16_000)[:, None], rate=16_000), "transpose"),
    "NaN": (Waveform(samples=np.full((1, 99), np.nan, np.float32), rate=16_000), "NaN"),
    "rate": (Waveform(samples=tone(440, 1, 16_000)[None], rate=0), "rate of 0"),
    "nothing": (None, "no sound"),
    "playlist": (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "damaged"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_sounds_give_one_line(what: str) -> None:
    item, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        AudioPreprocessor()(item)
    assert "\n" not in str(caught.value)


def test_preprocessors_travel_between_processes() -> None:
    prepare = AudioPreprocessor(max_clips=4, reference=True)
    assert pickle.loads(pickle.dumps(prepare)) == prepare
