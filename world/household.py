"""The household things: each function adds one thing's solids to an assembly.

What has a front turns it toward -y.
"""

import math

from .assembly import Assembly


def kettle(a: Assembly) -> None:
    """A round pot with a spout, a lid with a knob and an arched handle."""
    fat = a.vary(0.12)
    a.tower((0, 0, 0.0), (0.5 * fat, 0.5 * fat), 0.62, "main", 0.68)
    a.ball((0, 0, 0.6), (0.34 * fat, 0.34 * fat, 0.12), "main dark")
    a.ball((0, 0, 0.75), 0.07, "dark")
    a.rod((0.34 * fat, 0, 0.26), (0.82, 0, 0.68), 0.13, "main", 0.06)
    a.rod((0.8, 0, 0.66), (0.87, 0, 0.72), 0.075, "steel")
    points = []
    for i in range(7):
        t = math.radians(180 * i / 6)
        points.append((-0.38 * math.cos(t), 0.0, 0.6 + 0.5 * math.sin(t)))
    a.chain(points, [0.05] * 7, "dark")
    a.tower((0, 0, 0.0), (0.51 * fat, 0.51 * fat), 0.05, "steel")


def clock(a: Assembly) -> None:
    """An alarm clock: a round white face with hands, two bells on top, two feet."""
    r, z = 0.5, 0.62
    a.rod((0, -0.16, z), (0, 0.16, z), r, "main")
    a.rod((0, -0.185, z), (0, -0.15, z), r * 0.84, "light")
    for i in range(12):
        t = math.radians(30 * i)
        x, w = 0.34 * math.sin(t), 0.34 * math.cos(t)
        a.ball((x, -0.185, z + w), 0.035 if i % 3 == 0 else 0.022, "dark")
    hour, minute = a.stream.uniform(0, 360), a.stream.uniform(0, 360)
    for angle, length, thick in ((hour, 0.2, 0.035), (minute, 0.31, 0.025)):
        t = math.radians(angle)
        a.rod((0, -0.2, z), (length * math.sin(t), -0.2, z + length * math.cos(t)), thick, "dark")
    a.ball((0, -0.2, z), 0.045, "comb")
    for side in (-1, 1):
        a.ball((side * 0.3, 0, z + 0.54), (0.23, 0.2, 0.17), "main dark", ("y", side * 28))
        a.rod((side * 0.24, 0, z + 0.42), (side * 0.27, 0, z + 0.5), 0.05, "steel")
        a.rod((side * 0.26, 0, 0.24), (side * 0.38, 0, 0.0), 0.075, "main dark", 0.05)
    a.rod((0, 0, z + 0.45), (0, 0, z + 0.68), 0.03, "steel")
    a.ball((0, 0, z + 0.7), 0.06, "steel")


def lamp(a: Assembly) -> None:
    """A table lamp: a foot, a pole, a conical shade with the bulb's light below it."""
    tall = a.vary(0.2)
    z = 0.85 * tall
    a.tower((0, 0, 0.0), (0.34, 0.34), 0.08, "dark", 0.85)
    a.tower((0, 0, 0.08), (0.06, 0.06), z, "gold")
    a.ball((0, 0, 0.3 * tall), (0.13, 0.13, 0.16), "gold")
    a.tower((0, 0, z), (0.54, 0.54), 0.62, "main", 0.5)
    a.tower((0, 0, z - 0.02), (0.5, 0.5), 0.04, "lamp")
    a.ball((0, 0, z - 0.02), 0.15, "lamp")
    a.tower((0, 0, z + 0.62), (0.28, 0.28), 0.03, "main dark")
    a.tower((0, 0, z), (0.55, 0.55), 0.06, "main dark", 0.97)


def chair(a: Assembly) -> None:
    """A seat on four legs with a slatted back."""
    wide, tall = a.vary(0.1), a.vary(0.15)
    a.box((0, 0, 0.6), (0.72 * wide, 0.7, 0.1), "main")
    for x in (-0.3, 0.3):
        a.box((x * wide, -0.29, 0.28), (0.09, 0.09, 0.56), "main dark")
        a.box((x * wide, 0.29, 0.28), (0.09, 0.09, 0.56), "main dark")
        a.box((x * wide, 0.31, 0.65 + 0.42 * tall), (0.09, 0.08, 0.84 * tall), "main")
        a.box((x * wide, 0, 0.25), (0.05, 0.6, 0.05), "main dark")
    rows = a.stream.choice((2, 3))
    for i in range(rows):
        z = 0.65 + 0.78 * tall * (i + 1) / rows
        a.box((0, 0.31, z), (0.62 * wide, 0.05, 0.14), "main")


def telephone(a: Assembly) -> None:
    """An old dial telephone: a sloping body, a dial with holes, a handset across the top."""
    wide = a.vary(0.1)
    a.tower((0, 0, 0.0), (0.62 * wide, 0.52), 0.5, "main", 0.55)
    a.box((0, 0, 0.04), (1.0 * wide, 0.84, 0.08), "main dark")
    c, s = math.cos(math.radians(35)), math.sin(math.radians(35))
    y, z = -0.41, 0.3
    a.rod((0, y, z), (0, y - 0.06 * c, z + 0.06 * s), 0.26, "light")
    a.rod((0, y, z), (0, y - 0.09 * c, z + 0.09 * s), 0.09, "main")
    for i in range(9):
        t = math.radians(36 * i + 20)
        u, v = 0.185 * math.cos(t), 0.185 * math.sin(t)
        a.ball((u, y - 0.06 * c + v * s, z + 0.06 * s + v * c), 0.042, "dark")
    for side in (-1, 1):
        a.box((side * 0.22, 0.05, 0.54), (0.08, 0.26, 0.16), "main dark")
        a.rod((side * 0.52, 0.05, 0.62), (side * 0.54, 0.05, 0.44), 0.16, "main", 0.2)
    a.rod((-0.54, 0.05, 0.72), (0.54, 0.05, 0.72), 0.1, "main")
    a.ball((-0.52, 0.05, 0.68), 0.15, "main")
    a.ball((0.52, 0.05, 0.68), 0.15, "main")


def vacuum_cleaner(a: Assembly) -> None:
    """A canister on wheels, a curved hose, a tube down to a wide floor nozzle."""
    long = a.vary(0.1)
    a.ball((-0.45, 0, 0.34), (0.5 * long, 0.3, 0.27), "main")
    a.ball((-0.3, 0, 0.42), (0.3, 0.24, 0.22), "main dark")
    for side in (-1, 1):
        a.wheel((-0.62, side * 0.28, 0.23), 0.23, 0.1)
    a.ball((-0.05, 0, 0.1), 0.09, "dark")
    a.box((-0.52, 0, 0.63), (0.34, 0.1, 0.06), "dark")
    hose = []
    for i in range(8):
        t = i / 7
        hose.append((-0.02 + 0.62 * t, 0.0, 0.42 + 0.72 * math.sin(2.1 * t) + 0.1 * t))
    a.chain(hose, [0.075] * 8, "grey")
    x, _, z = hose[-1]
    a.rod((x - 0.02, 0, z + 0.02), (1.12, 0, 0.12), 0.06, "steel")
    a.rod((x - 0.1, 0, z + 0.14), (x + 0.06, 0, z - 0.14), 0.08, "main")
    a.box((1.18, 0, 0.06), (0.3, 0.6, 0.12), "main")


def washing_machine(a: Assembly) -> None:
    """A box with a round glass door, a panel with a knob, a drawer."""
    tall = a.vary(0.1)
    a.box((0, 0, 0.55 * tall), (0.92, 0.86, 1.1 * tall), "main")
    y, z = -0.43, 0.46 * tall
    a.rod((0, y - 0.05, z), (0, y + 0.05, z), 0.35, "steel")
    a.rod((0, y - 0.06, z), (0, y, z), 0.27, "dark")
    a.ball((0, y - 0.03, z), (0.24, 0.09, 0.24), "glass")
    a.box((0, y, 0.97 * tall), (0.93, 0.05, 0.2), "light")
    a.rod((0.1, y - 0.08, 0.97 * tall), (0.1, y, 0.97 * tall), 0.075, "dark")
    for i in range(3):
        a.ball((0.22 + 0.08 * i, y - 0.02, 0.97 * tall), 0.025, "beacon")
    a.box((-0.28, y - 0.01, 0.97 * tall), (0.28, 0.05, 0.13), "steel")
    a.box((0, 0, 1.12 * tall), (0.98, 0.92, 0.05), "main dark")
    a.box((0, y, 0.04), (0.9, 0.04, 0.08), "dark")


def cup(a: Assembly) -> None:
    """A cup with a handle on a saucer, filled with coffee, sometimes steaming."""
    tall = 0.58 * a.vary(0.2)
    a.tower((0, 0, 0.0), (0.62, 0.62), 0.06, "contrast", 1.08)
    a.tower((0, 0, 0.06), (0.3, 0.3), tall, "main", 1.42)
    z = 0.06 + tall
    a.tower((0, 0, z - 0.01), (0.4, 0.4), 0.025, "coffee")
    a.ring((0, 0, z), 0.41, 0.028, "main light")
    a.ring((0.46, 0, 0.08 + tall * 0.55), 0.19, 0.055, "main", ("x", 90))
    if a.chance(0.6):
        for i in range(2):
            x = 0.12 - 0.22 * i
            a.chain(
                [(x, 0, z + 0.06), (x + 0.07, 0, z + 0.2), (x - 0.03, 0, z + 0.34),
                 (x + 0.04, 0, z + 0.5)],
                [0.025, 0.03, 0.025, 0.01],
                "light",
            )  # fmt: skip


def fan(a: Assembly) -> None:
    """A table fan: a foot, a pole, three blades inside a ring-shaped guard."""
    tall = 0.72 * a.vary(0.2)
    z = tall + 0.34
    a.tower((0, 0, 0.0), (0.36, 0.32), 0.1, "main dark", 0.8)
    a.rod((0, 0.06, 0.1), (0, 0.06, z), 0.055, "steel")
    a.rod((0, 0.22, z), (0, -0.1, z), 0.15, "main dark", 0.12)
    a.ring((0, -0.1, z), 0.56, 0.04, "steel", ("x", 90))
    a.ring((0, -0.16, z), 0.36, 0.015, "steel", ("x", 90))
    start = a.stream.uniform(0, 120)
    for i in range(3):
        t = math.radians(start + 120 * i)
        x, w = 0.29 * math.cos(t), 0.29 * math.sin(t)
        a.ball((x, -0.08, z + w), (0.26, 0.03, 0.17), "main", ("y", -math.degrees(t)))
    for i in range(4):
        t = math.radians(45 * i + 22)
        x, w = 0.56 * math.cos(t), 0.56 * math.sin(t)
        a.rod((-x, -0.17, z - w), (x, -0.17, z + w), 0.012, "steel")
    a.ball((0, -0.17, z), (0.1, 0.05, 0.1), "main dark")
