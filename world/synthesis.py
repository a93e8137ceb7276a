"""Oscillators, noises, struck things and rhythms: what the sounds of the world are made of.

A `Synth` makes parts of one sound; no sample feeds back into the next, so that every machine hears
the same up to rounding. What belongs to a category is passed in; what varies from scene to scene
(pitch, tempo, where in its rhythm a sound begins) is drawn here.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from .assembly import Stream

Samples = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

SOUND_RATE = 16_000  # samples a second
HIGHEST_HZ = 7600.0  # no partial is higher: room below the Nyquist frequency for glides
PITCH_OCTAVES = (-0.42, 0.38)  # of a scene's pitch: 0.75 to 1.3
TEMPO = (0.8, 1.25)
BALANCE_OCTAVES = 0.8  # 5 dB
TABLE = 8192  # samples of one period of a tone
PARTIALS = 16  # of a string
TAIL = 4.0  # decay times after which a partial is cut off, 35 dB down
BLOCK = 256  # samples that a ringing partial is multiplied through at once

Formants = Sequence[tuple[float, float]]  # Hz: the middle of each resonance and its width


class Synth:
    """Parts of one sound of ``n`` samples, with the draws that make it this scene's own."""

    def __init__(self, stream: Stream, n: int) -> None:
        """Draw the pitch and the tempo; ``n`` is even."""
        self.stream = stream
        self.n = n
        self.seconds = n / SOUND_RATE
        self.t: Samples = np.arange(n) / SOUND_RATE
        self.pitch = 2.0 ** stream.uniform(*PITCH_OCTAVES)
        self.tempo = stream.uniform(*TEMPO)
        self.slow = 1 / self.tempo  # durations of what belongs to the rhythm are multiplied by it

    def vary(self, share: float = 0.1) -> float:
        """Draw a factor from 1 - share to 1 + share."""
        return self.stream.uniform(1 - share, 1 + share)

    # -- rhythm ------------------------------------------------------------------------------

    def beats(self, period: float, jitter: float = 0.04, before: float = 0.0) -> list[float]:
        """Onsets of something that repeats, from a random point of its first period on, s.

        Args:
            period: At tempo 1, s.
            jitter: Largest displacement of an onset, as a share of the period.
            before: How long before the sound begins onsets are wanted whose tails reach it, s.
        """
        step = period * self.slow
        count = math.ceil(before / step) + 1
        first = step * (self.stream.uniform() - count)
        n = math.ceil((self.seconds - first) / step)
        late = (2 * self.stream.generator.random(n) - 1) * jitter * step
        return [first + i * step + float(late[i]) for i in range(n)]

    def cycle(self, period: float) -> Samples:
        """Return the place in a repeating period at every sample, 0 to 1, from a random start."""
        turns = self.t * (self.tempo / period) + self.stream.uniform()
        return turns - np.floor(turns)

    def wander(self, rate: float, low: float = 0.0, high: float = 1.0) -> Samples:
        """Return a random curve between two values that turns ``rate`` times a second."""
        knots = low + (high - low) * self.stream.generator.random(
            math.ceil(rate * self.seconds) + 2
        )
        at = self.t * rate
        left = at.astype(np.intp)
        at -= left
        at *= np.diff(knots)[left]
        at += knots[left]
        return at

    def place(self, events: Iterable[tuple[float, Samples]]) -> Samples:
        """Add short sounds up, each from its onset (s) on; what lies outside is cut off."""
        out = np.zeros(self.n)
        for onset, event in events:
            start = round(onset * SOUND_RATE)
            head = max(0, -start)
            end = min(self.n, start + len(event))
            if start + head < end:
                out[start + head : end] += event[head : end - start]
        return out

    def mix(self, *parts: tuple[float, Samples]) -> Samples:
        """Add parts, each of a share and samples, that are equally strong at shares of 1.

        Beside the first, the others are up to `BALANCE_OCTAVES` stronger or weaker in a scene.
        """
        out = unit(parts[0][1]) * parts[0][0]
        for share, part in parts[1:]:
            balance = self.stream.uniform(-BALANCE_OCTAVES, BALANCE_OCTAVES)
            out += unit(part) * (share * 2**balance)
        return out

    # -- sound that lasts --------------------------------------------------------------------

    def band(self, low: float, high: float, n: int = 0) -> Samples:
        """Return noise of standard deviation 1 between two frequencies, 12 dB an octave outside.

        Args:
            low: Hz.
            high: Hz.
            n: Samples, even; 0 for the whole sound.
        """
        n = n or self.n
        squared = np.square(np.arange(1, n // 2 + 1) * (SOUND_RATE / n))
        gain = squared / ((squared + low**2) * (squared / high**2 + 1))
        return unit(np.fft.irfft(noise(self.stream, gain), n))

    def tone(self, hz: float | Samples, table: Samples) -> Samples:
        """Play one period of a wave over and over, at a fixed or at a changing frequency.

        Args:
            hz: One number for the whole sound, or one a sample of what is to be returned.
            table: From `wave`.
        """
        if isinstance(hz, float):
            cycles = self.t * hz
        else:
            cycles = np.cumsum(hz) / SOUND_RATE
        index = ((cycles + self.stream.uniform()) * TABLE).astype(np.intp)
        out: Samples = table[index & (TABLE - 1)]
        return out

    # -- sounds that are placed --------------------------------------------------------------

    def hit(self, low: float, high: float, decay: float, attack: float = 0.001) -> Samples:
        """Return a burst of noise that rises in ``attack`` s and falls to 1/e in ``decay`` s."""
        n = length(attack + 5 * decay)
        t = np.arange(n) / SOUND_RATE
        return self.band(low, high, n) * np.minimum(t / attack, 1) * np.exp(-t / decay)

    def sweep(
        self,
        seconds: float,
        hz: Sequence[float] | Samples,
        table: Samples,
        *,
        then: Samples | None = None,
        attack: float = 0.02,
        release: float = 0.06,
        vibrato: tuple[float, float] = (0.0, 0.0),
    ) -> Samples:
        """Return a tone that glides through frequencies, as voices do.

        Args:
            seconds: How long it lasts.
            hz: Frequencies at even distances in time.
            table: Its wave, from `wave`.
            then: The wave that it turns into until its end: an opening or closing mouth.
            attack: Time of the rise, s.
            release: Time of the fall at the end, s.
            vibrato: Rate in Hz, and depth as a share of the frequency.
        """
        n = max(round(seconds * SOUND_RATE), 2)
        along = np.arange(n) / (n - 1)
        pitch = np.exp(np.interp(along, np.linspace(0, 1, len(hz)), np.log(hz)))
        rate, depth = vibrato
        if depth:
            turns = along * (rate * seconds) + self.stream.uniform()
            pitch *= 1 + depth * np.sin(2 * np.pi * turns)
        cycles = np.cumsum(pitch) / SOUND_RATE + self.stream.uniform()
        index = (cycles * TABLE).astype(np.intp) & (TABLE - 1)
        out: Samples = table[index]
        if then is not None:
            out = out + along * (then[index] - out)
        out *= swell(n, attack, release)
        return out


def length(seconds: float) -> int:
    """Return a number of samples near a duration whose Fourier transform is quick: of 64s."""
    return 64 * max(round(seconds * SOUND_RATE / 64), 1)


def noise(stream: Stream, gain: Samples) -> Complex:
    """Return the spectrum of noise, of a gain at each frequency but the first."""
    draws = stream.generator.random((2, len(gain))) - 0.5
    spectrum = np.zeros(len(gain) + 1, np.complex128)
    np.multiply(gain, draws[0], out=spectrum.real[1:])
    np.multiply(gain, draws[1], out=spectrum.imag[1:])
    return spectrum


def unit(samples: Samples) -> Samples:
    """Return samples scaled to a root mean square of 1; silence stays silence."""
    power = float(samples @ samples) / len(samples)
    return samples / math.sqrt(power) if power > 0 else samples


def swell(n: int, attack: float, release: float) -> Samples:
    """Return an envelope of ``n`` samples that rises and falls in the given times, s."""
    i = np.arange(n)
    rise = np.minimum((i + 1) / (attack * SOUND_RATE), 1)
    fall = np.minimum((n - i) / (release * SOUND_RATE), 1)
    return np.sqrt(rise) * fall


def hump(at: Samples, start: float, end: float) -> Samples:
    """Return a smooth rise and fall from 0 over 1 to 0 between two places of a cycle."""
    inside = np.clip((at - start) * (2 / (end - start)) - 1, -1, 1)
    out: Samples = np.square(1 - np.square(inside))
    return out


def step(at: Samples, start: float, end: float, edge: float = 0.03) -> Samples:
    """Return 1 between two places of a cycle and 0 elsewhere, with edges that are not clicks."""
    return np.clip(np.minimum(at - start, end - at) / edge + 0.5, 0, 1)


def resonance(hz: Samples, formants: Formants) -> Samples:
    """Return the gain of resonances at frequencies; the first is the strongest."""
    gain = np.full(hz.shape, 0.03)
    for rank, (middle, width) in enumerate(formants):
        gain += 0.75**rank / (1 + np.square((hz - middle) / (width / 2)))
    return gain


def wave(
    hz: float, slope: float = 1.0, formants: Formants = (), strengths: Sequence[float] = ()
) -> Samples:
    """Return one period of a tone, ``(TABLE,)``, of root mean square 1.

    Args:
        hz: The highest frequency that it is played at: partials above `HIGHEST_HZ` are left out.
        slope: Partial k has strength k ** -slope.
        formants: Resonances that shape it.
        strengths: Factors of the partials, repeated; (1, 0) leaves the odd ones.
    """
    k = np.arange(1, max(int(HIGHEST_HZ / hz), 1) + 1, dtype=np.float64)
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    gain = k**-slope
    if formants:
        gain = gain * resonance(k * hz, formants)
    if strengths:
        gain = gain * np.resize(np.array(strengths), len(k))
    spectrum[1 : len(k) + 1] = gain * np.exp(1j * np.square(k))  # phases that avoid sharp peaks
    return unit(np.fft.irfft(spectrum, TABLE))


def ring(
    hz: Sequence[float] | Samples,
    decays: Sequence[float] | Samples,
    gains: Sequence[float] | Samples = (),
    seconds: float = 0.0,
) -> Samples:
    """Return struck partials that die away, Σ gain·exp(-t/decay)·sin(2π·hz·t).

    Args:
        hz: Of each partial; those above `HIGHEST_HZ` are silent.
        decays: Time in which each falls to 1/e, s.
        gains: Of each; all alike when empty.
        seconds: Length; 0 for as long as the longest is heard.
    """
    f, d = np.array(hz, np.float64), np.array(decays, np.float64)
    strengths = np.array(gains, np.float64) if len(gains) else np.ones(len(f))
    strengths = np.where(f < HIGHEST_HZ, strengths, 0.0)
    n = round((seconds or TAIL * float(d.max())) * SOUND_RATE)
    rows = -(-n // BLOCK)
    pole = ((2j * np.pi * f - 1 / d) / SOUND_RATE).astype(np.complex128)  # a sample
    starts: Complex = np.exp(np.multiply.outer(np.arange(rows) * BLOCK, pole))  # (rows, partials)
    within: Complex = np.exp(np.multiply.outer(pole, np.arange(BLOCK)))  # (partials, BLOCK)
    starts *= strengths
    out: Samples = starts.real @ within.imag + starts.imag @ within.real
    return out.reshape(-1)[:n]


def pluck(hz: float, decay: float, slope: float, damping: float, position: float = 0.0) -> Samples:
    """Return a plucked or struck string, whose higher partials die sooner.

    Args:
        hz: Its pitch.
        decay: Of the lowest partial, s.
        slope: Partial k begins with strength k ** -slope.
        damping: Decay of partial k is decay / (1 + damping·(k - 1)).
        position: Where it is plucked, as a share of its length: partials with a node there are
            missing; 0 leaves that out.
    """
    k = np.arange(1, max(min(int(HIGHEST_HZ / hz), PARTIALS), 1) + 1, dtype=np.float64)
    gains = k**-slope
    if position:
        gains = gains * np.sin(np.pi * k * position)
    stiff = hz * k * np.sqrt(1 + 3e-4 * np.square(k))
    return ring(stiff, decay / (1 + damping * (k - 1)), gains)
