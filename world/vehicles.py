"""The vehicles: each function adds one vehicle's solids to an assembly, driving toward x."""

import math

from .assembly import Assembly


def train(a: Assembly) -> None:
    """A steam locomotive: boiler, chimney, dome, cab, and often a wagon behind it."""
    long = a.vary(0.15)
    end = 0.75 * long
    a.box((0.0, 0, 0.34), (1.7 * long, 0.5, 0.12), "dark")
    a.rod((-0.35 * long, 0, 0.68), (end, 0, 0.68), 0.29, "main")
    a.rod((end - 0.08, 0, 0.68), (end + 0.03, 0, 0.68), 0.31, "main dark")
    a.ball((end + 0.04, 0, 0.68), (0.04, 0.08, 0.08), "lamp")
    a.tower((end - 0.22, 0, 0.9), (0.09, 0.09), 0.42, "dark", 1.6)
    a.ball((0.12 * long, 0, 0.97), (0.13, 0.13, 0.12), "gold")
    a.box((-0.58 * long, 0, 0.86), (0.5 * long, 0.62, 0.9), "main")
    a.box((-0.58 * long, 0, 1.34), (0.62 * long, 0.72, 0.08), "main dark")
    a.box((-0.58 * long, 0, 1.06), (0.28 * long, 0.64, 0.3), "glass")
    a.tower((end + 0.12, 0, 0.08), (0.22, 0.3), 0.26, "main dark", 0.45)
    for x in (-0.6, -0.18, 0.24):
        for side in (-1, 1):
            a.rod((x * long, side * 0.26, 0.23), (x * long, side * 0.34, 0.23), 0.23, "dark")
            a.rod((x * long, side * 0.3, 0.23), (x * long, side * 0.36, 0.23), 0.12, "comb")
    for side in (-1, 1):
        a.box((-0.18 * long, side * 0.37, 0.23), (0.9 * long, 0.03, 0.05), "steel")
        a.rod((0.62 * long, side * 0.26, 0.15), (0.62 * long, side * 0.33, 0.15), 0.15, "dark")
    if a.chance(0.5):
        x = -1.5 * long
        a.box((x, 0, 0.58), (1.0 * long, 0.58, 0.5), "main")
        a.box((x, 0, 0.3), (1.08 * long, 0.5, 0.08), "dark")
        a.box((x, 0, 0.84), (0.9 * long, 0.5, 0.06), "coffee")
        for dx in (-0.3, 0.3):
            a.rod((x + dx * long, -0.32, 0.17), (x + dx * long, 0.32, 0.17), 0.17, "dark")


def car(a: Assembly) -> None:
    """A saloon: a low body, a glass cabin with a roof, four wheels."""
    long, cabin = a.vary(0.12), a.vary(0.15)
    a.box((0, 0, 0.42), (1.9 * long, 0.78, 0.3), "main")
    a.ball((0.78 * long, 0, 0.44), (0.3, 0.39, 0.16), "main")
    a.ball((-0.78 * long, 0, 0.46), (0.28, 0.39, 0.16), "main")
    a.tower((-0.1, 0, 0.55), (0.62 * cabin, 0.4), 0.36, "glass", 0.66)
    a.box((-0.1, 0, 0.72), (0.06, 0.72, 0.32), "main")
    a.ball((-0.1, 0, 0.91), (0.46 * cabin, 0.31, 0.055), "main")
    for x in (-0.6, 0.6):
        for side in (-1, 1):
            a.wheel((x * long, side * 0.36, 0.22), 0.22, 0.16)
    for side in (-1, 1):
        a.ball((1.02 * long, side * 0.25, 0.46), (0.06, 0.08, 0.07), "lamp")
        a.box((-1.0 * long, side * 0.27, 0.48), (0.08, 0.14, 0.09), "comb")
    a.box((0.98 * long, 0, 0.3), (0.12, 0.76, 0.1), "steel")
    a.box((-0.98 * long, 0, 0.3), (0.12, 0.76, 0.1), "steel")


def bus(a: Assembly) -> None:
    """A long box with a row of windows, or two rows for a double-decker."""
    long = 2.5 * a.vary(0.12)
    decks = 2 if a.chance(0.3) else 1
    height = 0.85 + 0.6 * (decks - 1)
    a.box((0, 0, 0.25 + height / 2), (long, 0.8, height), "main")
    a.box((0, 0, 0.27 + height), (long * 0.96, 0.7, 0.06), "main light")
    for deck in range(decks):
        z = 0.82 + 0.58 * deck
        for i in range(5):
            x = long * (-0.40 + 0.185 * i)
            a.box((x, 0, z), (long * 0.145, 0.83, 0.32), "glass")
        a.box((long / 2, 0, z - 0.02), (0.04, 0.68, 0.38), "glass")
    a.box((long * 0.45, -0.4, 0.56), (long * 0.07, 0.06, 0.52), "dark")
    a.box((0, 0, 0.52), (long * 1.005, 0.81, 0.06), "contrast")
    for x in (-0.3, 0.3):
        for side in (-1, 1):
            a.wheel((x * long, side * 0.36, 0.2), 0.2, 0.14)
    for side in (-1, 1):
        a.ball((long / 2, side * 0.3, 0.42), (0.04, 0.07, 0.07), "lamp")


def fire_engine(a: Assembly) -> None:
    """A lorry with a raised ladder, blue beacons and a white stripe."""
    long = a.vary(0.1)
    back, front = -1.1 * long, 1.1 * long
    a.box((-0.25 * long, 0, 0.6), (1.7 * long, 0.8, 0.62), "main")
    a.box((0.86 * long, 0, 0.68), (0.52 * long, 0.8, 0.8), "main")
    a.box((0.9 * long, 0, 0.86), (0.46 * long, 0.84, 0.3), "glass")
    a.box((0, 0, 0.5), (2.24 * long, 0.83, 0.09), "contrast")
    a.box((0, 0, 0.28), (2.1 * long, 0.7, 0.1), "dark")
    for i in range(3):
        a.box(((-0.8 + 0.5 * i) * long, 0, 0.72), (0.36 * long, 0.84, 0.24), "steel")
    for side in (-1, 1):
        a.tower((0.82 * long, side * 0.22, 1.08), (0.1, 0.1), 0.16, "beacon", 0.8)
        a.ball((front + 0.02, side * 0.28, 0.42), (0.05, 0.08, 0.08), "lamp")
        for x in (-0.72, 0.78):
            a.wheel((x * long, side * 0.36, 0.24), 0.24, 0.16)
    rise = math.radians(a.stream.uniform(10, 32))
    reach = 2.1 * long
    for side in (-1, 1):
        a.rod(
            (back + 0.1, side * 0.17, 1.02),
            (back + 0.1 + reach * math.cos(rise), side * 0.17, 1.02 + reach * math.sin(rise)),
            0.045,
            "steel",
        )
    for i in range(8):
        s = reach * (i + 0.5) / 8
        x, z = back + 0.1 + s * math.cos(rise), 1.02 + s * math.sin(rise)
        a.rod((x, -0.17, z), (x, 0.17, z), 0.028, "steel")
    a.tower((back + 0.3, 0, 0.9), (0.24, 0.24), 0.16, "grey")


def helicopter(a: Assembly) -> None:
    """A bubble cockpit, a tail boom, a large rotor above and a small one behind."""
    long = a.vary(0.12)
    a.ball((0, 0, 0.62), (0.56, 0.38, 0.4), "main")
    a.ball((0.2, 0, 0.66), (0.42, 0.345, 0.33), "glass")
    a.rod((-0.3, 0, 0.72), (-1.35 * long, 0, 0.9), 0.17, "main", 0.06)
    a.box((-1.35 * long, 0, 1.02), (0.22, 0.05, 0.42), "main", ("y", -20))
    a.box((-1.2 * long, 0, 0.88), (0.16, 0.5, 0.04), "main dark")
    a.rod((-1.36 * long, 0.04, 1.05), (-1.36 * long, 0.1, 1.05), 0.19, "grey")
    a.rod((0, 0, 0.95), (0, 0, 1.2), 0.06, "dark")
    spin = a.stream.uniform(0, 90)
    a.box((0, 0, 1.22), (2.3, 0.13, 0.03), "dark", ("z", spin))
    a.box((0, 0, 1.22), (2.3, 0.13, 0.03), "dark", ("z", spin + 90))
    for side in (-1, 1):
        a.rod((-0.5, side * 0.34, 0.06), (0.55, side * 0.34, 0.06), 0.04, "dark")
        for x in (-0.25, 0.25):
            a.rod((x, side * 0.34, 0.06), (x, side * 0.2, 0.36), 0.03, "dark")


def airplane(a: Assembly) -> None:
    """A fuselage with two swept wings, a tail and engines under the wings."""
    span = a.vary(0.12)
    a.rod((-0.95, 0, 0.6), (0.85, 0, 0.6), 0.2, "main")
    a.ball((0.85, 0, 0.6), (0.3, 0.2, 0.2), "main")
    a.rod((-0.95, 0, 0.6), (-1.45, 0, 0.72), 0.2, "main", 0.05)
    a.box((0.92, 0, 0.7), (0.18, 0.28, 0.1), "glass")
    a.box((0, 0, 0.64), (1.5, 0.41, 0.06), "glass")
    for side in (-1, 1):
        a.box((-0.12, side * 0.62 * span, 0.52), (0.44, 1.0 * span, 0.05), "main light",
              ("z", -side * 18))  # fmt: skip
        a.box((-1.3, side * 0.3, 0.72), (0.26, 0.5, 0.04), "main light", ("z", -side * 18))
        a.rod((-0.1, side * 0.55, 0.42), (0.24, side * 0.55, 0.42), 0.1, "grey", 0.12)
    a.box((-1.32, 0, 0.98), (0.36, 0.05, 0.52), "main dark", ("y", -25))
    if a.chance(0.5):
        for x, y in ((0.7, 0.0), (-0.2, -0.25), (-0.2, 0.25)):
            a.rod((x, y, 0.5), (x, y, 0.2), 0.03, "steel")
            a.rod((x, y - 0.05, 0.16), (x, y + 0.05, 0.16), 0.1, "dark")


def sailing_boat(a: Assembly) -> None:
    """A hull, a mast, a large and a small triangular sail, a pennant."""
    tall = a.vary(0.15)
    a.ball((0, 0, 0.26), (0.98, 0.34, 0.26), "main")
    a.box((-0.05, 0, 0.4), (1.4, 0.46, 0.2), "main")
    a.box((-0.05, 0, 0.51), (1.46, 0.5, 0.05), "wood")
    a.box((-0.3, 0, 0.6), (0.4, 0.3, 0.16), "light")
    a.rod((0.12, 0, 0.5), (0.12, 0, 2.1 * tall), 0.035, "wood")
    a.tower((-0.32, 0, 0.72), (0.42, 0.03), 1.3 * tall, "main", 0.04)
    a.rod((-0.76, 0, 0.7), (0.12, 0, 0.7), 0.03, "wood")
    a.tower((0.46, 0, 0.62), (0.3, 0.025), 1.05 * tall, "light", 0.04)
    a.box((0.0, 0, 2.03 * tall), (0.24, 0.02, 0.12), "comb")


def bicycle(a: Assembly) -> None:
    """Two spoked wheels, a diamond frame, a saddle and handlebars."""
    base = 0.56 * a.vary(0.08)
    r = 0.4
    for x in (-base, base):
        a.ring((x, 0, r + 0.03), r, 0.035, "dark", ("x", 90))
        for i in range(3):
            c, s = r * math.cos(i * 1.047), r * math.sin(i * 1.047)
            a.rod((x - c, 0, r + 0.03 - s), (x + c, 0, r + 0.03 + s), 0.01, "steel")
        for angle in (35, 90, 145):
            t = math.radians(angle)
            a.box((x + 0.47 * math.cos(t), 0, r + 0.03 + 0.47 * math.sin(t)), (0.32, 0.1, 0.03),
                  "main", ("y", 90 - angle))  # fmt: skip
    crank, seat, head = (-0.06, 0.0, r - 0.02), (-0.22, 0.0, 0.95), (0.4, 0.0, 0.96)
    rear, front = (-base, 0.0, r + 0.03), (base, 0.0, r + 0.03)
    for p, q in ((crank, seat), (seat, head), (crank, head), (crank, rear), (seat, rear)):
        a.rod(p, q, 0.042, "main")
    a.rod(front, (0.36, 0, 1.12), 0.042, "main")
    a.rod((0.36, -0.26, 1.16), (0.36, 0.26, 1.16), 0.03, "steel")
    a.ball((-0.24, 0, 1.02), (0.17, 0.09, 0.05), "dark")
    a.rod((-0.06, -0.05, r - 0.02), (-0.06, 0.05, r - 0.02), 0.11, "steel")
    for side in (-1, 1):
        a.box((-0.06, side * 0.12, r - 0.02 + side * 0.16), (0.14, 0.12, 0.03), "dark")
        a.ball((0.33, side * 0.26, 1.16), (0.08, 0.035, 0.035), "dark")
    if a.chance(0.6):
        a.box((0.56, 0, 1.02), (0.26, 0.3, 0.2), "main")


def rocket(a: Assembly) -> None:
    """An upright tube with a pointed nose, a porthole, fins and sometimes a flame."""
    tall = 1.3 * a.vary(0.15)
    fins = a.stream.choice((3, 4))
    a.tower((0, 0, 0.35), (0.28, 0.28), tall, "main")
    a.tower((0, 0, 0.35 + tall), (0.28, 0.28), 0.28, "main", 0.75)
    a.tower((0, 0, 0.63 + tall), (0.21, 0.21), 0.36, "contrast", 0.0)
    a.tower((0, 0, 0.35 + tall * 0.3), (0.287, 0.287), 0.12, "contrast")
    a.tower((0, 0, 0.2), (0.2, 0.2), 0.16, "dark", 0.8)
    for i in range(fins):
        angle = 360 * i / fins + 20
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        a.box((0.42 * c, 0.42 * s, 0.38), (0.4, 0.06, 0.4), "main dark", ("z", angle))
        a.box((0.55 * c, 0.55 * s, 0.14), (0.14, 0.06, 0.28), "main dark", ("z", angle))
        a.rod((0.34 * c, 0.34 * s, 0.3), (0.26 * c, 0.26 * s, 0.82), 0.09, "main dark", 0.0)
    for angle in (0, 90, 180, 270):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        z = 0.35 + tall * 0.76
        a.rod((0.24 * c, 0.24 * s, z), (0.3 * c, 0.3 * s, z), 0.12, "steel")
        a.rod((0.24 * c, 0.24 * s, z), (0.31 * c, 0.31 * s, z), 0.085, "glass")
    if a.chance(0.5):
        a.tower((0, 0, 0.0), (0.05, 0.05), 0.22, "flame", 3.0)


def tractor(a: Assembly) -> None:
    """Two very large rear wheels, two small front ones, a bonnet, a cab, an exhaust pipe."""
    big = 0.52 * a.vary(0.1)
    for side in (-1, 1):
        a.wheel((-0.45, side * 0.46, big), big, 0.28, hub="gold")
        a.wheel((0.72, side * 0.36, 0.28), 0.28, 0.18, hub="gold")
        a.box((-0.5, side * 0.46, 2 * big + 0.05), (0.7, 0.3, 0.06), "main")
    a.box((0.45, 0, 0.7), (0.95, 0.46, 0.42), "main")
    a.box((0.2, 0, 0.42), (1.3, 0.3, 0.2), "dark")
    a.box((0.94, 0, 0.7), (0.03, 0.36, 0.32), "dark")
    a.box((-0.4, 0, 0.75), (0.74, 0.6, 0.5), "main")
    a.box((-0.4, 0, 1.22), (0.66, 0.6, 0.5), "glass")
    a.box((-0.4, 0, 1.5), (0.84, 0.76, 0.08), "main")
    for x in (-0.73, -0.07):
        for side in (-1, 1):
            a.rod((x, side * 0.3, 0.95), (x, side * 0.3, 1.48), 0.035, "main dark")
    a.rod((0.55, 0.12, 0.88), (0.55, 0.12, 1.42), 0.05, "dark")
    for side in (-1, 1):
        a.ball((0.95, side * 0.15, 0.84), (0.03, 0.06, 0.06), "lamp")
