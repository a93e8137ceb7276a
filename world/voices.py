"""What each of the fifty kinds of thing sounds like: one function a category, in their order.

Pitches overlap between categories (a scene shifts them by up to a third): what tells things apart
is timbre, rhythm and envelope. Things that hardly sound do what is done with them: scissors snip.
Frequencies are in Hz, times in seconds; every rhythm repeats within two seconds.
"""

import numpy as np

from .synthesis import (
    SOUND_RATE,
    Samples,
    Synth,
    hump,
    length,
    pluck,
    ring,
    step,
    swell,
    unit,
    wave,
)

SEMITONE = 2 ** (1 / 12)
MAJOR = (0, 2, 4, 5, 7, 9, 11, 12)  # semitones above the key note
PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)


def _note(key: float, semitones: float) -> float:
    """The frequency so many semitones above a key note, Hz."""
    return float(key * SEMITONE**semitones)


# -- animals ---------------------------------------------------------------------------------


def dog(s: Synth) -> Samples:
    """Two or three barks and a pause."""
    table = wave(560 * s.pitch, 0.6, ((750, 400), (1500, 500), (2700, 900)))
    events = []
    for at in s.beats(1.25, before=0.4):
        for i in range(2 + s.stream.integer(2)):
            hz = np.array([320, 540, 430, 260]) * s.pitch * s.vary(0.08)
            bark = s.sweep(0.17, hz, table, attack=0.012, release=0.1)
            bark += 0.5 * np.resize(s.hit(700, 3500, 0.05, 0.01), len(bark))
            events.append((at + 0.3 * s.slow * i, bark * s.vary(0.25)))
    return s.place(events)


def cat(s: Synth) -> Samples:
    """Long meows: the mouth opens and closes, the pitch rises and falls."""
    events = []
    closed = wave(750 * s.pitch, 0.9, ((700, 300), (2200, 400)))
    opened = wave(750 * s.pitch, 0.6, ((1300, 500), (3000, 700)))
    for at in s.beats(1.35, before=1.0):
        hz = np.array([370, 590, 700, 690, 580, 380]) * s.pitch * s.vary(0.06)
        meow = s.sweep(
            0.85 * s.slow * s.vary(0.1), hz, closed, then=opened, attack=0.15, release=0.3
        )
        events.append((at, meow * s.vary(0.2)))
    return s.place(events)


def cow(s: Synth) -> Samples:
    """Long low moos."""
    closed = wave(190 * s.pitch, 0.8, ((240, 120), (1100, 300)))
    opened = wave(190 * s.pitch, 0.5, ((420, 180), (800, 250), (2300, 500)))
    events = []
    for at in s.beats(1.5, before=1.5):
        hz = np.array([130, 165, 172, 168, 160, 130]) * s.pitch * s.vary(0.05)
        moo = s.sweep(1.15 * s.slow, hz, closed, then=opened, attack=0.2, release=0.25)
        events.append((at, moo * s.vary(0.2)))
    return s.place(events)


def horse(s: Synth) -> Samples:
    """A gallop of three hooves at a time, and neighing."""
    hooves = [
        unit(ring([hz * s.pitch, 1.9 * hz * s.pitch, 3.1 * hz * s.pitch], [0.016, 0.01, 0.007]))
        for hz in (560, 640, 710)
    ]
    gallop = s.place(
        (at + 0.115 * s.slow * i, hooves[i] * gain * s.vary(0.2))
        for at in s.beats(0.46, before=0.4)
        for i, gain in enumerate((0.8, 0.9, 1.2))
    )
    table = wave(1150 * s.pitch, 0.5, ((1300, 700), (2700, 900)))
    neigh = s.place(
        (
            at,
            s.sweep(
                0.85 * s.slow,
                np.array([780, 1080, 1000, 840, 680, 480]) * s.pitch * s.vary(0.06),
                table,
                attack=0.05,
                release=0.3,
                vibrato=(13.0, 0.07),
            ),
        )
        for at in s.beats(1.6, before=1.0)
    )
    return s.mix((1, gallop), (0.9, neigh))


def elephant(s: Synth) -> Samples:
    """Rough trumpeting calls over a low rumble."""
    table = wave(600 * s.pitch, 0.15, ((900, 600), (2200, 1500), (3600, 1500)))
    events = []
    for at in s.beats(1.45, before=1.0):
        hz = np.array([300, 470, 570, 560, 500, 380]) * s.pitch * s.vary(0.08)
        call = s.sweep(0.9 * s.slow, hz, table, attack=0.06, release=0.25, vibrato=(31, 0.03))
        rough = 1 + 0.8 * np.sin(np.arange(len(call)) * (2 * np.pi * 73 / SOUND_RATE))
        events.append((at, call * rough * s.vary(0.2)))
    rumble = s.tone(26.0 * s.pitch, wave(26, 0.8, ((90, 80),)))
    return s.mix((1, s.place(events)), (0.3, rumble))


def duck(s: Synth) -> Samples:
    """Series of nasal quacks that grow weaker."""
    table = wave(270 * s.pitch, 0.0, ((1350, 350), (2500, 500)))
    events = []
    for at in s.beats(1.3, before=1.2):
        n = 4 + s.stream.integer(2)
        for i in range(n):
            hz = np.array([225, 260, 205]) * s.pitch * (1 - 0.03 * i) * s.vary(0.03)
            quack = s.sweep(0.13 * s.slow, hz, table, attack=0.015, release=0.05)
            events.append((at + 0.215 * s.slow * i, quack * 0.8**i))
    return s.place(events)


def rooster(s: Synth) -> Samples:
    """Cock-a-doodle-doo: three short notes and a long one that falls."""
    table = wave(1050 * s.pitch, 0.3, ((1700, 900), (3200, 1200)))
    tune = (
        (0.0, 0.12, (640, 700)),
        (0.16, 0.1, (760, 720)),
        (0.29, 0.17, (880, 980)),
        (0.49, 0.6, (900, 1000, 980, 800, 540)),
    )
    events = []
    for at in s.beats(1.5, before=1.2):
        shift = s.pitch * s.vary(0.05)
        for start, lasts, hz in tune:
            note = s.sweep(lasts * s.slow, np.array(hz) * shift, table, vibrato=(27, 0.012))
            events.append((at + start * s.slow, note))
    return s.place(events)


def snake(s: Synth) -> Samples:
    """Hisses that swell, and the rattle of the tail after each."""
    at = s.cycle(1.3)
    hiss = s.band(3500 * s.pitch, 7500) * (hump(at, 0.0, 0.85) * (at < 0.6) + 0.02)
    click = s.hit(3800 * s.pitch, 7000, 0.006)
    rattle = s.place((t, click * s.vary(0.4)) for t in s.beats(1 / 21, 0.2))
    return s.mix((1, hiss), (0.9, rattle * step(at, 0.5, 0.98)))


def rabbit(s: Synth) -> Samples:
    """Nibbling something crisp, and the thump of a hind leg."""
    events = []
    for at in s.beats(1.1, before=1.0):
        for i in range(5):
            for _ in range(3):
                crunch = s.hit(1400 * s.pitch, 5000, 0.012 * s.vary(0.5))
                events.append((at + (0.155 * i + 0.04 * s.stream.uniform()) * s.slow, crunch))
        thump = ring([78 * s.pitch, 132 * s.pitch], [0.06, 0.04], [5, 4])
        events += [(at + 0.85 * s.slow, thump), (at + 0.97 * s.slow, 0.8 * thump)]
    return s.place(events)


# -- vehicles --------------------------------------------------------------------------------


def train(s: Synth) -> Samples:
    """Steam: chuffs in fours, the first the loudest, and a whistle of three notes."""
    puffs = [s.hit(260, 2200, 0.055 * s.slow, 0.02) for _ in range(4)]
    chuff = s.place(
        (at + 0.2 * s.slow * i, puffs[s.stream.integer(4)] * gain)
        for at in s.beats(0.8, 0.01, before=0.8)
        for i, gain in enumerate((1.0, 0.5, 0.7, 0.5))
    )
    table = wave(900 * s.pitch, 1.2)
    events = []
    for at in s.beats(1.6, before=0.8):
        for ratio in (1.0, 1.25, 1.5):
            hz = np.array([0.93, 1, 1, 0.97]) * 470 * ratio * s.pitch
            events.append((at, s.sweep(0.65 * s.slow, hz, table, attack=0.05, release=0.12)))
    return s.mix((1, chuff), (0.7, s.place(events)))


def car(s: Synth) -> Samples:
    """An engine that revs up and changes gear, and two honks."""
    at = s.cycle(1.5)
    hz = (62 + 95 * at**0.7) * s.pitch
    engine = s.tone(hz, wave(157 * s.pitch, 0.7, ((200, 150), (650, 500)), (0.5, 1.0)))
    engine = engine * (0.75 + 0.4 * at) * (1 - 0.7 * step(at, 0.94, 1.0))
    horn = wave(520 * s.pitch, 0.4, ((1500, 1200), (2800, 1500)))
    low, high = (
        s.sweep(0.16, [note * s.pitch] * 2, horn, attack=0.01, release=0.02) for note in (400, 504)
    )
    honk = low + high
    honks = s.place((t + gap, honk) for t in s.beats(1.7, before=0.6) for gap in (0, 0.26 * s.slow))
    return s.mix((1, engine), (0.8, honks))


def bus(s: Synth) -> Samples:
    """A large Diesel engine that idles and knocks, and the hiss of its air brakes."""
    table = wave(29 * s.pitch, 0.5, ((95, 70), (420, 300), (1500, 600)), (0.5, 0.3, 1.0, 0.4))
    engine = s.tone(27.0 * s.pitch * (1 + 0.02 * s.wander(4)), table)
    brakes = s.place(
        (at, swell(len(hiss), 0.01, 0.25) * hiss)
        for at in s.beats(1.5, before=0.5)
        for hiss in (s.band(2200, 7000, length(0.42 * s.slow)),)
    )
    return s.mix((1, engine), (0.7, brakes))


def fire_engine(s: Synth) -> Samples:
    """A siren that wails up and down over an engine."""
    hz = 860 * s.pitch * 2 ** (0.6 * np.sin(2 * np.pi * s.cycle(1.45)))
    siren = s.tone(hz, wave(1320 * s.pitch, 0.9, (), (1, 0.6)))
    engine = s.tone(48.0 * s.pitch, wave(48, 0.7, ((150, 120), (500, 400))))
    return s.mix((1, siren), (0.3, engine))


def helicopter(s: Synth) -> Samples:
    """The chop of the rotor, many times a second, and the whine of the turbine."""
    at = s.cycle(1 / 12.5)
    chop = s.band(45, 800) * np.exp(-5 * at)
    whine = s.tone(2250.0 * s.pitch, wave(2250 * s.pitch, 1.5))
    return s.mix((1, chop), (0.22, whine))


def airplane(s: Synth) -> Samples:
    """Two propellers almost in tune: a drone that beats."""
    drift = 1 + 0.05 * np.sin(2 * np.pi * s.cycle(3.7))
    hz, apart = 92 * s.pitch, s.stream.uniform(2.2, 3.6)
    table = wave(100 * s.pitch, 0.45, ((190, 200), (800, 600), (1900, 900)))
    drone = s.tone(hz * drift, table) + s.tone((hz + apart) * drift, table)
    return s.mix((1, drone), (0.15, s.band(150, 2500)))


def sailing_boat(s: Synth) -> Samples:
    """Waves that lap at the hull, a rope that creaks, a shackle that tings."""
    at = s.cycle(1.2)
    laps = s.band(220, 1300) * (hump(at, 0.0, 0.5) + 0.5 * hump(at, 0.35, 0.75) + 0.1)
    knock = ring([640 * s.pitch, 1180 * s.pitch], [0.012, 0.008])
    creak = s.place(
        (start + (0.028 * i - 0.0005 * i * i) * s.slow, knock * (0.4 + 0.05 * i))
        for start in s.beats(1.25, 0.1, before=0.5)
        for i in range(16)
    )
    ting = ring(np.array([2700, 4150, 5900]) * s.pitch, [0.1, 0.07, 0.04], [1, 0.7, 0.4])
    tings = s.place((start, ting * s.vary(0.5)) for start in s.beats(0.55, 0.45, before=0.5))
    return s.mix((1, laps), (0.55, creak), (0.5, tings))


def bicycle(s: Synth) -> Samples:
    """The ticking of the free wheel, and a bell that trills twice."""
    tick = s.hit(2500, 6000, 0.0025)
    wheel = s.place((at, tick * s.vary(0.3)) for at in s.beats(1 / 19, 0.08))
    strike = ring(
        np.array([1950, 3320, 5050]) * s.pitch, [0.16, 0.1, 0.06], [1, 0.8, 0.5], seconds=0.5
    )
    trill = s.place(
        (at + (0.055 * i + gap) * s.slow, strike * s.vary(0.3))
        for at in s.beats(1.45, before=0.9)
        for gap in (0.0, 0.42)
        for i in range(5)
    )
    return s.mix((1, trill), (0.45, wheel))


def rocket(s: Synth) -> Samples:
    """The crackling roar of a launch, and the tone that ends each word from mission control."""
    roar = s.band(35, 500) * (0.5 + s.wander(13)) + 0.8 * s.band(200, 3000) * s.wander(45) ** 4
    beep = s.sweep(0.26 * s.slow, [1800 * s.pitch] * 2, wave(1800 * s.pitch, 3.0), release=0.01)
    beeps = s.place((at, beep) for at in s.beats(1.3, before=0.3))
    return s.mix((1, roar), (0.6, beeps))


def tractor(s: Synth) -> Samples:
    """One large cylinder: put, put, put."""
    put = ring(
        np.array([82, 165, 410, 870]) * s.pitch, [0.06, 0.04, 0.022, 0.012], [1, 0.8, 0.7, 0.5]
    )
    rattle = 0.4 * s.hit(1800, 5000, 0.008)
    events = []
    for i, at in enumerate(s.beats(1 / 5.8, 0.05)):
        events += [(at, put * (1 if i % 2 else 0.7) * s.vary(0.15)), (at + 0.05 * s.slow, rattle)]
    return s.place(events)


# -- instruments -----------------------------------------------------------------------------


def guitar(s: Synth) -> Samples:
    """Strummed chords, down and up."""
    chords = []
    for root in (0, s.stream.choice((3, 5, 7))):
        hz = [_note(98 * s.pitch, root + up) for up in (0, 7, 12, 16, 19, 24)]
        strings = [pluck(f, 0.4, 0.7, 0.2, 0.18) for f in hz]
        for down in (True, False):
            chord = np.zeros(len(strings[0]) + 2000)
            for i, string in enumerate(strings if down else strings[:1:-1]):
                start = i * 230
                chord[start : start + len(string)] += string[: len(chord) - start]
            chords.append(chord)
    events = []
    for i, at in enumerate(s.beats(0.42, before=1.2)):
        pick = chords[2 * (i // 4 % 2) + i % 2]
        events.append((at + (0.06 if i % 2 else 0), pick * (0.7 if i % 2 else 1) * s.vary(0.1)))
    return s.place(events)


def violin(s: Synth) -> Samples:
    """A bowed melody with vibrato."""
    steps = s.beats(0.52)
    notes = [s.stream.choice(MAJOR) for _ in steps]
    glide = np.repeat(steps, 2)
    glide[1::2] += 0.07  # the finger slides
    before = [notes[0], *notes[:-1]]
    pitch = np.interp(s.t, glide, np.stack([before, notes], axis=1).ravel())
    vibrato = 0.45 * np.sin(2 * np.pi * 5.7 * s.t)
    hz = 330 * s.pitch * 2 ** ((pitch + vibrato) / 12)
    body = ((480, 200), (1000, 500), (2800, 1200))
    bow = 0.65 + 0.35 * np.interp(s.t, glide, np.tile([0.0, 1.0], len(steps)))
    strings = s.tone(hz, wave(700 * s.pitch, 0.5, body))
    return s.mix((1, strings * bow), (0.08, s.band(2000, 6000)))


def drum(s: Synth) -> Samples:
    """A rhythm of strokes on a skin, some accented, with rolls."""
    hz = 118 * s.pitch * np.array([1, 1.59, 2.14, 2.30, 2.65, 2.92])
    skin = ring(hz, [0.17, 0.1, 0.08, 0.06, 0.05, 0.05], [1.6, 1, 0.7, 0.5, 0.5, 0.4])
    stick = s.hit(800, 4000, 0.01)
    stroke = skin.copy()
    stroke[: len(stick)] += 0.8 * stick
    pattern = ((0, 1.0), (0.36, 0.45), (0.54, 0.8), (0.9, 0.5), (0.99, 0.4), (1.08, 0.6))
    return s.place(
        (at + start * s.slow, stroke * gain * s.vary(0.1))
        for at in s.beats(1.2, 0.005, before=1.2)
        for start, gain in pattern
    )


def piano(s: Synth) -> Samples:
    """A bass note, a chord, and a melody over them."""
    key = 131 * s.pitch
    pool = {up: pluck(_note(key, up), 0.65, 1.5, 0.25) for up in (-12, 4, 7, 12, 16, 19, 24)}
    for string in pool.values():
        string[:48] *= np.linspace(0, 1, 48)  # 3 ms: felt, not a pick
    events = []
    for i, at in enumerate(s.beats(0.3, 0.02, before=2.4)):
        if i % 4 == 0:
            events += [(at, 1.2 * pool[-12])]
        if i % 4 == 2:
            events += [(at, 0.6 * pool[up]) for up in (4, 7, 12)]
        events.append((at, pool[s.stream.choice((12, 16, 19, 24))] * s.vary(0.2)))
    return s.place(events)


def trumpet(s: Synth) -> Samples:
    """A fanfare: three short notes and a long one, on the notes of a chord."""
    soft = wave(760 * s.pitch, 1.0, ((1200, 900),))
    bright = wave(760 * s.pitch, 0.2, ((1300, 1200), (2600, 1500)))
    events = []
    for at in s.beats(1.05, 0.01, before=1.0):
        tune = [s.stream.choice((0, 4, 7)) for _ in range(2)]
        for start, lasts, up in (
            (0.0, 0.09, tune[0]),
            (0.12, 0.09, tune[0]),
            (0.24, 0.09, tune[0]),
            (0.36, 0.56, tune[1] + 5),
        ):
            hz = _note(370 * s.pitch, up) * np.array([0.97, 1, 1, 1])
            note = s.sweep(lasts * s.slow, hz, soft, then=bright, attack=0.025, release=0.03)
            events.append((at + start * s.slow, note))
    return s.place(events)


def bell(s: Synth) -> Samples:
    """A church bell that tolls: partials that are no harmonics and long die away."""
    hz = 315 * s.pitch * np.array([0.5, 1, 1.19, 1.5, 2, 2.51, 2.66, 3.01, 4.1])
    decays = [2.0, 1.5, 1.2, 0.8, 0.9, 0.5, 0.45, 0.4, 0.25]
    toll = ring(hz, decays, [0.6, 1, 0.9, 0.5, 1, 0.6, 0.5, 0.5, 0.5], seconds=3.0)
    return s.place((at, toll * s.vary(0.1)) for at in s.beats(1.35, 0.03, before=3.0))


def flute(s: Synth) -> Samples:
    """A breathy, almost pure melody with a trembling loudness."""
    steps = s.beats(0.34)
    notes = np.array([s.stream.choice(PENTATONIC) for _ in steps])
    starts = np.array(steps)
    index = np.clip(np.searchsorted(starts, s.t, side="right") - 1, 0, len(steps) - 1)
    hz = 560 * s.pitch * 2 ** (notes[index] / 12)
    tongue = np.minimum((s.t - starts[index]) / 0.05, 1)
    loud = (1 + 0.25 * np.sin(2 * np.pi * 5.2 * s.t)) * (0.25 + 0.75 * np.clip(tongue, 0, 1))
    tone = s.tone(hz, wave(1400 * s.pitch, 1.0, (), (1, 0.5, 0.2, 0.08, 0, 0, 0, 0)))
    return s.mix((1, tone * loud), (0.13, s.band(1200, 5000) * loud))


def xylophone(s: Synth) -> Samples:
    """Quick notes on wooden bars."""
    bars = []
    for up in PENTATONIC:
        hz = _note(640 * s.pitch, up)
        bars.append(ring([hz, 3 * hz, 6.2 * hz], [0.11, 0.04, 0.02], [1, 0.6, 0.4]))
    last = s.stream.integer(len(bars))
    events = []
    for at in s.beats(0.165, 0.02, before=0.5):
        last = (last + s.stream.choice((-2, -1, 1, 2, 3))) % len(bars)
        events.append((at, bars[last] * s.vary(0.25)))
    return s.place(events)


# -- tools -----------------------------------------------------------------------------------


def hammer(s: Synth) -> Samples:
    """Knocks on a nail, each with a small rebound."""
    nail = ring(np.array([2350, 3480, 4700]) * s.pitch, [0.035, 0.025, 0.018], [0.9, 0.7, 0.5])
    wood = ring(np.array([185, 320]) * s.pitch, [0.05, 0.035], [1.6, 1.2])
    tap = s.hit(600, 6000, 0.005)
    knock = np.zeros(max(len(nail), len(wood), len(tap)))
    for part in (nail, wood, tap):
        knock[: len(part)] += part
    return s.place(
        (at + gap, knock * gain * s.vary(0.15))
        for at in s.beats(0.52, 0.05)
        for gap, gain in ((0.0, 1.0), (0.085, 0.3))
    )


def saw(s: Synth) -> Samples:
    """Forth and back through wood: teeth that rasp as fast as the arm moves."""
    at = s.cycle(0.72)
    push, pull = hump(at, 0.0, 0.5), hump(at, 0.5, 1.0)
    teeth = np.maximum(s.tone(1 + 125 * s.pitch * np.sqrt(push + 0.6 * pull), wave(126, 0.8)), 0)
    forth = s.band(1300 * s.pitch, 5500) * push
    back = s.band(600 * s.pitch, 2500) * pull
    return s.mix((1, forth * (0.3 + teeth)), (0.6, back * (0.3 + teeth)))


def drill(s: Synth) -> Samples:
    """A motor that starts, screams, is slowed by the wall, and stops."""
    at = s.cycle(1.35)
    speed = np.minimum(at / 0.16, 1) * (1 - 0.28 * hump(at, 0.25, 0.7)) * step(at, -1, 0.84, 0.1)
    hz = 1 + 410 * s.pitch * speed
    motor = s.tone(hz, wave(411 * s.pitch, 0.3, ((1300, 900), (3200, 1800))))
    wall = s.band(1500, 6000) * hump(at, 0.22, 0.72) * (0.4 + s.wander(40))
    return s.mix((1, motor * np.sqrt(speed)), (0.5, wall))


def axe(s: Synth) -> Samples:
    """A swing through the air, a thud, and splinters."""
    thud = ring(np.array([115, 250, 420]) * s.pitch, [0.08, 0.055, 0.035], [2.0, 1.6, 1.2])
    bite = s.hit(300, 2600, 0.03)
    splinter = s.hit(1600, 5500, 0.007)
    events = []
    for at in s.beats(0.95, 0.06, before=0.3):
        n = length(0.26 * s.slow)
        swing = s.band(350, 1500, n) * hump(np.arange(n) / n, 0, 1)
        events += [(at - n / SOUND_RATE, 0.35 * swing), (at, thud * s.vary()), (at, bite)]
        for _ in range(5):
            events.append((at + s.stream.uniform(0.03, 0.22), 0.6 * splinter * s.vary(0.6)))
    return s.place(events)


def screwdriver(s: Synth) -> Samples:
    """Turns of a ratchet, ever faster, each ending in the squeak of the screw."""
    click = ring(np.array([2750, 4300, 6100]) * s.pitch, [0.007, 0.005, 0.003], [1, 0.8, 0.6])
    table = wave(1450 * s.pitch, 0.8)
    clicks, squeaks = [], []
    for at in s.beats(0.85, before=0.8):
        for i in range(12):
            clicks.append((at + (0.052 * i - 0.0014 * i * i) * s.slow, click * s.vary(0.2)))
        hz = np.array([880, 1150, 1420]) * s.pitch * s.vary(0.06)
        squeak = s.sweep(0.24 * s.slow, hz, table, attack=0.03, release=0.06)
        squeaks.append((at + 0.5 * s.slow, squeak))
    return s.mix((1, s.place(clicks)), (0.6, s.place(squeaks)))


def scissors(s: Synth) -> Samples:
    """Snip, snip: blades that slide along each other and shut."""
    shut = ring(np.array([3700, 5350, 6700]) * s.pitch, [0.02, 0.014, 0.01])
    tap = s.hit(1500, 7000, 0.004)
    events = []
    for at in s.beats(0.42, 0.05, before=0.3):
        n = length(0.15 * s.slow)
        along = np.arange(n) / n
        slide = s.band(1800, 3600, n) * (1 - along) + s.band(4500, 7800, n) * along
        events += [(at, slide * along**0.5 * s.vary(0.2))]
        events += [(at + n / SOUND_RATE, 1.3 * shut), (at + n / SOUND_RATE, 1.5 * tap)]
    return s.place(events)


def lawn_mower(s: Synth) -> Samples:
    """A small engine whose speed hunts up and down, over the rush of the blade."""
    at = s.cycle(0.62)
    surge = np.sin(2 * np.pi * at)
    hz = 56 * s.pitch * (1 + 0.11 * surge)
    table = wave(64 * s.pitch, 0.35, ((350, 250), (1100, 700), (2600, 1200)), (0.6, 1.0))
    engine = s.tone(hz, table) * (1 + 0.3 * surge)
    return s.mix((1, engine), (0.25, s.band(500, 4000) * (1 + 0.6 * surge)))


# -- household -------------------------------------------------------------------------------


def kettle(s: Synth) -> Samples:
    """Water that boils, and a whistle that trembles and swells with the steam."""
    pips = [
        s.sweep(0.028, np.array([1, 2.4]) * hz * s.pitch, wave(2000, 3.0), release=0.02)
        for hz in (330, 410, 480, 560, 640)
    ]
    bubbles = s.place((at, s.stream.choice(pips) * s.vary(0.6)) for at in s.beats(1 / 24, 0.5))
    at = s.cycle(1.5)
    hz = 2150 * s.pitch * (1 + 0.025 * s.wander(9) + 0.08 * hump(at, 0.0, 1.0))
    whistle = s.tone(hz, wave(2400 * s.pitch, 2.0)) * (0.25 + hump(at, 0.0, 1.0))
    return s.mix((1, bubbles), (0.7, whistle * (0.7 + 0.6 * s.wander(22))))


def clock(s: Synth) -> Samples:
    """Tick, tock, and the four beeps of the alarm."""
    tick = ring(np.array([3100, 4700]) * s.pitch, [0.007, 0.005])
    tock = ring(np.array([2150, 3600]) * s.pitch, [0.009, 0.006])
    ticks = s.place(
        (at, tick if i % 2 else tock) for i, at in enumerate(s.beats(0.25, 0.01, before=0.1))
    )
    hz = 1980 * s.pitch
    beep = s.sweep(0.06, [hz] * 2, wave(hz, 1.0, (), (1, 0)), attack=0.003, release=0.005)
    alarm = s.place(
        (at + 0.115 * s.slow * i, beep) for at in s.beats(1.25, before=0.5) for i in range(4)
    )
    return s.mix((1, ticks), (0.8, alarm))


def lamp(s: Synth) -> Samples:
    """A switch, the hum of the mains while it is on, the switch again."""
    at = s.cycle(1.0)
    table = wave(112 * s.pitch, 0.35, ((340, 200), (900, 500), (2200, 900)), (0.3, 1.0))
    hum = s.tone(108.0 * s.pitch, table) * step(at, 0.0, 0.55, 0.008)
    edges = np.flatnonzero(np.diff((at < 0.55).astype(np.int8))) / SOUND_RATE
    click = s.hit(1200, 6500, 0.004)
    body = ring([420 * s.pitch, 830 * s.pitch], [0.012, 0.008], [1.5, 1])
    clicks = s.place(
        (edge + gap, part * gain)
        for edge in edges.tolist()
        for part in (click, body)
        for gap, gain in ((0.0, 1.0), (0.022, 0.7))
    )
    return s.mix((1, hum), (1.1, clicks))


def chair(s: Synth) -> Samples:
    """Legs that scrape over the floor, stuttering, and a bump when they stop."""
    table = wave(270 * s.pitch, 0.0, ((950, 300), (1750, 350), (3000, 500)))
    events = []
    for at in s.beats(1.0, before=0.7):
        hz = [s.stream.uniform(130, 260) * s.pitch for _ in range(9)]
        scrape = s.sweep(0.48 * s.slow, hz, table, attack=0.03, release=0.03)
        stutter = np.interp(
            np.arange(len(scrape)), np.linspace(0, len(scrape), 26), s.stream.generator.random(26)
        )
        bump = ring([92 * s.pitch, 170 * s.pitch], [0.05, 0.035], [2.2, 1.6])
        events += [(at, scrape * (0.15 + stutter)), (at + 0.5 * s.slow, bump)]
    return s.place(events)


def telephone(s: Synth) -> Samples:
    """The warble of two tones in quick turns; it rings, pauses, rings."""
    at = s.cycle(1.45)
    high = s.cycle(1 / 17) < 0.5
    hz = np.where(high, 1110.0, 880.0) * s.pitch
    return s.tone(hz, wave(1110 * s.pitch, 1.0, (), (1, 0))) * step(at, 0.0, 0.64, 0.01)


def vacuum_cleaner(s: Synth) -> Samples:
    """A motor's steady howl in a rush of air that changes as the nozzle moves."""
    at = s.cycle(1.3)
    stroke = hump(at, 0.0, 1.0)
    howl = s.tone(590 * s.pitch * (1 + 0.05 * stroke), wave(630 * s.pitch, 1.3))
    air = s.band(150, 1200) * (1 - 0.8 * stroke) + s.band(1200, 6000) * (0.15 + stroke)
    return s.mix((1, air), (0.6, howl))


def washing_machine(s: Synth) -> Samples:
    """The drum turns one way, rests, turns the other way; water sloshes, clothes fall."""
    at = s.cycle(1.5)
    turning = step(at, 0.02, 0.38, 0.05) + step(at, 0.52, 0.88, 0.05)
    hz = 1 + s.pitch * np.where(at < 0.45, 150.0, 190.0) * (0.4 + 0.6 * turning)
    motor = s.tone(hz, wave(191 * s.pitch, 1.0, ((300, 200), (800, 400)))) * turning
    water = hump(at, 0.1, 0.35) + hump(at, 0.25, 0.5) + hump(at, 0.6, 0.85) + hump(at, 0.75, 1.0)
    slosh = s.band(350, 2200) * water * (0.4 + s.wander(24))
    fall = ring([62 * s.pitch, 101 * s.pitch], [0.07, 0.05])
    falls = s.place((t, fall * s.vary(0.4)) for t in s.beats(0.375, 0.1))
    return s.mix((1, motor), (0.8, slosh), (0.7, falls))


def cup(s: Synth) -> Samples:
    """A spoon that stirs: a light and a strong clink a turn, in swirling water."""
    hz = np.array([1850, 3050, 4600, 6300]) * s.pitch
    clink = ring(hz, [0.07, 0.05, 0.035, 0.02], [1, 0.9, 0.7, 0.5])
    clinks = s.place(
        (at + 0.1 * s.slow * i, clink * gain * s.vary(0.2))
        for at in s.beats(0.36, 0.03, before=0.4)
        for i, gain in enumerate((1.0, 0.5))
    )
    swirl = s.band(500, 1800) * (0.4 + hump(s.cycle(0.36), 0.0, 1.0))
    return s.mix((1, clinks), (0.3, swirl))


def fan(s: Synth) -> Samples:
    """Air chopped softly by the blades, a hum, and a tick at every turn as it swings."""
    swing = hump(s.cycle(1.8), 0.0, 1.0)
    blades = 1 + 0.8 * np.sin(2 * np.pi * s.cycle(1 / 17))
    air = (s.band(90, 700) + (0.3 + swing) * s.band(700, 2500)) * blades
    hum = s.tone(74.0 * s.pitch, wave(74, 0.9, ((160, 100), (450, 200))))
    tick = ring([1250 * s.pitch, 2100 * s.pitch], [0.006, 0.004])
    ticks = s.place((at, tick) for at in s.beats(3 / 17, 0.02))
    return s.mix((1, air), (0.5, hum), (0.45, ticks))


# -- nature ----------------------------------------------------------------------------------


def tree(s: Synth) -> Samples:
    """Leaves that rustle in gusts, and a bird that chirps among them."""
    gust = 0.2 + s.wander(1.6) ** 2
    leaves = s.band(2200, 6500) * gust * (0.3 + s.wander(30))
    table = wave(5000 * s.pitch, 3.0)
    chirps = []
    for at in s.beats(1.0, 0.15, before=0.6):
        for i in range(3 + s.stream.integer(2)):
            hz = np.array([2300, 4600, 2600]) * s.pitch * s.vary(0.05)
            chirp = s.sweep(0.09, hz, table, attack=0.01, release=0.03)
            chirps.append((at + 0.125 * s.slow * i, chirp))
    return s.mix((1, leaves), (0.7, s.place(chirps)))


def mushroom(s: Synth) -> Samples:
    """Caps that pop out of the moss: bloops that rise, and wet squelches."""
    table = wave(1000, 2.5)
    events = []
    for at in s.beats(0.3, 0.4, before=0.2):
        low = s.stream.uniform(230, 380) * s.pitch
        events.append((at, s.sweep(0.085, [low, 1.3 * low, 2.9 * low], table, attack=0.008)))
    squelches = s.place(
        (at + 0.022 * i, s.hit(350, 1500 * s.pitch, 0.01, 0.006) * s.vary(0.4))
        for at in s.beats(0.9, 0.2, before=0.2)
        for i in range(7)
    )
    return s.mix((1, s.place(events)), (0.6, squelches))


def flower(s: Synth) -> Samples:
    """A bee that buzzes nearer and farther as it looks for the nectar."""
    hz = 215 * s.pitch * (0.9 + 0.2 * s.wander(3.0))
    table = wave(240 * s.pitch, 0.5, ((450, 300), (1000, 500), (2400, 900)))
    near = 0.15 + np.square(np.sin(np.pi * s.cycle(1.1))) * (0.5 + 0.5 * s.wander(2.0))
    wings = 1 + 0.25 * np.sin(2 * np.pi * 27 * s.t)
    return s.tone(hz, table) * near * wings


def cactus(s: Synth) -> Samples:
    """Crickets of the desert: chirps of four pulses, over the buzz of a cicada."""
    hz = 4100 * s.pitch
    pulse = s.sweep(0.02, [hz, 0.97 * hz], wave(hz, 3.0), attack=0.006, release=0.008)
    chirps = s.place(
        (at + 0.034 * i, pulse) for at in s.beats(0.38, 0.03, before=0.2) for i in range(4)
    )
    cicada = s.band(5200, 6300) * np.maximum(np.sin(2 * np.pi * s.cycle(1 / 48)), 0)
    return s.mix((1, chirps), (0.5, cicada * (0.3 + hump(s.cycle(1.7), 0.0, 1.0))))


def volcano(s: Synth) -> Samples:
    """A deep rumble, bursts that rumble on, and the blubbing of lava."""
    rumble = s.band(22, 90) * (0.4 + s.wander(5))
    burst = s.hit(50, 900, 0.3, 0.012)
    bursts = s.place((at, burst * s.vary(0.3)) for at in s.beats(1.4, 0.15, before=1.0))
    table = wave(400, 1.4)
    blubs = []
    for at in s.beats(0.3, 0.45):
        low = s.stream.uniform(95, 150) * s.pitch
        blubs.append((at, s.sweep(0.14, [low, 1.2 * low, 2.2 * low], table, attack=0.02)))
    return s.mix((1, bursts), (0.7, rumble), (0.9, s.place(blubs)))


def campfire(s: Synth) -> Samples:
    """Crackles, some of them loud, over a soft flutter of flames."""
    cracks = [
        s.hit(low * s.pitch, 7000, decay) for low in (900, 1800, 3000) for decay in (0.003, 0.009)
    ]
    events = []
    for at in s.beats(1 / 17, 0.5):
        events.append((at, s.stream.choice(cracks) * s.stream.uniform(0.1, 1) ** 3))
    flames = s.band(60, 350) * (0.2 + s.wander(9))
    return s.mix((1, s.place(events)), (0.5, flames))


def rain_cloud(s: Synth) -> Samples:
    """Rain that patters, and thunder that cracks and rolls."""
    drops = [
        ring([hz * s.pitch, 1.7 * hz * s.pitch], [0.005, 0.003]) for hz in (1100, 1700, 2400, 3300)
    ]
    patter = s.place((at, s.stream.choice(drops) * s.vary(0.7)) for at in s.beats(1 / 45, 0.5))
    rolls = [s.hit(40, 260, decay, 0.03) for decay in (0.08, 0.1, 0.14, 0.18, 0.25)]
    events = []
    for at in s.beats(1.5, 0.1, before=1.2):
        for roll in rolls:
            events.append((at + s.stream.uniform(0, 0.7) * s.slow, roll * s.vary(0.5)))
        events.append((at, 1.6 * s.hit(200, 2500, 0.05, 0.004)))
    rain = s.band(1800, 7000)
    return s.mix((1, s.place(events)), (0.6, rain), (0.5, patter))
