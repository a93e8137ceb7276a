"""The sound of a scene: what its first object does, recorded where it stands.

The sound is 16 kHz mono. A second object is heard too, but lower. A recording has a level, a room
and a microphone that favours low or high notes, and a background of wind, hiss or hum that in some
scenes is as strong as the objects. What belongs to a category is in `voices`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from . import voices
from .assembly import Stream
from .scene import Place, Scene
from .synthesis import SOUND_RATE, Complex, Samples, Synth, noise, unit

__all__ = ["SOUNDS", "SOUND_RATE", "Recording", "layers", "recording", "sound"]

MAX_SECONDS = 600.0
GRAIN = SOUND_RATE // 4  # samples: sounds are made in multiples of this length, then cut
PEAK = 0.9  # of full scale: the highest level that a sound may reach
FULL_SCALE = 32767
REFLECTIONS = 16  # in an echo
WIND_HZ, HISS_HZ = 150.0, 1500.0  # above and below which each grows weaker
HISS, HUM = 0.25, 0.5  # how strong they are beside the wind
GUST, GUST_HZ = (0.3, 1.7), 1.5  # how far and how often the background swells and sinks
LOWEST_HZ = 30.0  # the microphone treats what lies below like this

Voice = Callable[[Synth], Samples]

SOUNDS: Mapping[str, Voice] = {
    "dog": voices.dog,
    "cat": voices.cat,
    "cow": voices.cow,
    "horse": voices.horse,
    "elephant": voices.elephant,
    "duck": voices.duck,
    "rooster": voices.rooster,
    "snake": voices.snake,
    "rabbit": voices.rabbit,
    "train": voices.train,
    "car": voices.car,
    "bus": voices.bus,
    "fire engine": voices.fire_engine,
    "helicopter": voices.helicopter,
    "airplane": voices.airplane,
    "sailing boat": voices.sailing_boat,
    "bicycle": voices.bicycle,
    "rocket": voices.rocket,
    "tractor": voices.tractor,
    "guitar": voices.guitar,
    "violin": voices.violin,
    "drum": voices.drum,
    "piano": voices.piano,
    "trumpet": voices.trumpet,
    "bell": voices.bell,
    "flute": voices.flute,
    "xylophone": voices.xylophone,
    "hammer": voices.hammer,
    "saw": voices.saw,
    "drill": voices.drill,
    "axe": voices.axe,
    "screwdriver": voices.screwdriver,
    "scissors": voices.scissors,
    "lawn mower": voices.lawn_mower,
    "kettle": voices.kettle,
    "clock": voices.clock,
    "lamp": voices.lamp,
    "chair": voices.chair,
    "telephone": voices.telephone,
    "vacuum cleaner": voices.vacuum_cleaner,
    "washing machine": voices.washing_machine,
    "cup": voices.cup,
    "fan": voices.fan,
    "tree": voices.tree,
    "mushroom": voices.mushroom,
    "flower": voices.flower,
    "cactus": voices.cactus,
    "volcano": voices.volcano,
    "campfire": voices.campfire,
    "rain cloud": voices.rain_cloud,
}

ECHO: Mapping[Place, tuple[float, float]] = {  # seconds to fall by 60 dB; strength beside the sound
    Place.SNOW: (0.1, 0.2),
    Place.BEACH: (0.1, 0.15),
    Place.MEADOW: (0.15, 0.15),
    Place.CITY: (0.9, 0.5),
    Place.FOREST: (0.6, 0.4),
    Place.DESERT: (0.1, 0.1),
    Place.ROOM: (0.5, 0.9),
    Place.MOON: (0.25, 0.4),
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """How a scene was recorded."""

    level: float  # dB of full scale that the objects have; less where a peak would exceed `PEAK`
    snr: float  # dB, how much stronger the objects are than the background
    tilt: float  # dB an octave by which the microphone favours high notes
    ripple: float  # dB by which it favours some octaves and disfavours those between
    ripple_octaves: float  # from one favoured octave to the next
    ripple_phase: float  # radians: where they are
    second: float  # dB, how much lower than the first object the second is
    echo: float  # s, time in which an echo falls by 60 dB
    wetness: float  # strength of the echo beside that of the sound itself
    wind: float  # strengths of the parts of the background, which are scaled together
    hiss: float
    hum: float
    hum_hz: float


def recording(of: Scene) -> Recording:
    """Return how a scene is recorded."""
    stream = Stream(of.id, "recording")
    echo, wetness = ECHO[of.place]
    return Recording(
        level=stream.uniform(-26, -6),
        snr=stream.uniform(-3, 20),
        tilt=stream.uniform(-4, 4),
        ripple=stream.uniform(0, 9),
        ripple_octaves=stream.uniform(1.5, 3),
        ripple_phase=stream.uniform(0, 2 * math.pi),
        second=stream.uniform(6, 12),
        echo=echo * stream.uniform(0.7, 1.4),
        wetness=wetness * stream.uniform(0.5, 1.2),
        wind=stream.uniform() ** 2,
        hiss=stream.uniform() ** 2 + 0.05,
        hum=max(0.0, stream.uniform(-0.6, 0.6)),
        hum_hz=stream.uniform(45, 130),
    )


def sound(of: Scene, seconds: float = 4.0) -> npt.NDArray[np.int16]:
    """Return the sound of a scene, ``(n,)`` samples at 16 kHz, mono.

    Raises:
        UsageError: ``seconds`` is not above 0 and at most `MAX_SECONDS`.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"asked for {seconds:g} s of sound; 0 to {MAX_SECONDS:g} s can be made")
    n = max(round(seconds * SOUND_RATE), 1)
    made_as = recording(of)
    length = -(-n // GRAIN) * GRAIN
    objects, background = layers(of, made_as, length)
    heard = (objects + background)[:n]
    loudest = max(float(np.abs(heard).max()), 1e-9)
    gain = min(10 ** (made_as.level / 20), PEAK / loudest)
    return np.rint(heard * (gain * FULL_SCALE)).astype(np.int16)


def layers(of: Scene, made_as: Recording, n: int) -> tuple[Samples, Samples]:
    """Return what the microphone hears of the objects, and of the background.

    Args:
        of: The scene.
        made_as: Its recording.
        n: Samples of the sound, even. It goes round: an echo of its end is heard at its start.

    Returns:
        ``(n,)`` each; the objects' root mean square is 1.
    """
    dry = np.zeros(n)
    for i, item in enumerate(of.objects):
        synth = Synth(Stream(of.id, "sound" if i == 0 else f"sound {i + 1}"), n)
        dry += unit(SOUNDS[item.category](synth)) * 10 ** (-made_as.second * i / 20)
    objects = np.fft.rfft(dry) * _echo(made_as, n)
    background = Synth(Stream(of.id, "background"), n)
    around = _around(background, made_as)
    octaves = _octaves(n)
    turns = octaves * (2 * np.pi / made_as.ripple_octaves) + made_as.ripple_phase
    decibels = made_as.tilt * octaves + made_as.ripple * np.sin(turns)
    microphone = np.exp(decibels * (math.log(10) / 20))
    objects[1:] *= microphone
    around[1:] *= microphone
    gusts = background.wander(GUST_HZ, *GUST)
    return (
        unit(np.fft.irfft(objects, n)),
        unit(np.fft.irfft(around, n) * gusts) * 10 ** (-made_as.snr / 20),
    )


def _echo(made_as: Recording, n: int) -> Complex:
    """The spectrum of a click and its reflections: nearer to each other at first, ever weaker."""
    impulse = np.zeros(n)
    impulse[0] = 1
    for i in range(REFLECTIONS):
        share = ((i + 1) / REFLECTIONS) ** 1.7  # of the time in which the echo falls by 60 dB
        delay = round((0.006 + 0.5 * share * made_as.echo) * SOUND_RATE)
        impulse[delay % n] += (-1) ** (i * i % 3) * made_as.wetness * 10 ** (-1.5 * share)
    return np.fft.rfft(impulse)


def _around(synth: Synth, made_as: Recording) -> Complex:
    """The spectrum of wind below, hiss above, and the hum of something far away."""
    n = synth.n
    hz = np.arange(1, n // 2 + 1) * (SOUND_RATE / n)
    wind = made_as.wind / (1 + np.square(hz / WIND_HZ))
    hiss = made_as.hiss * HISS / (1 + np.square(HISS_HZ / hz))
    spectrum = noise(synth.stream, wind + hiss)
    for k in (1, 2, 3):
        spectrum[round(k * made_as.hum_hz * n / SOUND_RATE)] += made_as.hum * HUM * math.sqrt(n) / k
    return spectrum


@cache
def _octaves(n: int) -> Samples:
    """How many octaves each frequency of a spectrum but the first lies above 1 kHz."""
    hz = np.arange(1, n // 2 + 1) * (SOUND_RATE / n)
    octaves: Samples = np.log2(np.maximum(hz, LOWEST_HZ) / 1000)
    return octaves
