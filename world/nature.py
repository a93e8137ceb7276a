"""The things of nature: each function adds one thing's solids to an assembly."""

import math

from .assembly import Assembly


def tree(a: Assembly) -> None:
    """A trunk under a round crown, or under the tiers of a conifer."""
    tall = a.vary(0.2)
    a.rod((0, 0, 0.0), (0, 0, 0.9 * tall), 0.14, "coffee", 0.1)
    if a.chance(0.4):
        for i in range(4):
            a.tower((0, 0, (0.35 + 0.36 * i) * tall), (0.66 - 0.13 * i, 0.66 - 0.13 * i),
                    0.62 * tall, "main" if i % 2 == 0 else "main dark", 0.08)  # fmt: skip
        return
    z = 1.15 * tall
    a.ball((0, 0, z), (0.5, 0.5, 0.42), "main")
    a.ball((0, 0, z + 0.34), (0.36, 0.36, 0.32), "main")
    n = 5
    turn = a.stream.uniform(0, 6.28)
    for i in range(n):
        t = turn + 6.283 * i / n
        r = 0.3 * a.vary(0.15)
        a.ball(
            (0.42 * math.cos(t), 0.42 * math.sin(t), z - 0.06 + 0.14 * (i % 2)),
            r,
            "main" if i % 2 else "main dark",
        )
    for side in (-1, 1):
        a.rod((0, 0, 0.55 * tall), (side * 0.32, 0.05, 0.95 * tall), 0.06, "coffee", 0.04)


def mushroom(a: Assembly) -> None:
    """A pale stem under a wide spotted cap."""
    wide, tall = a.vary(0.15), a.vary(0.2)
    z = 0.62 * tall
    a.rod((0, 0, 0.0), (0, 0, z + 0.05), 0.21, "cream", 0.15)
    a.ring((0, 0, z * 0.72), 0.18, 0.045, "cream")
    a.tower((0, 0, z - 0.04), (0.5 * wide, 0.5 * wide), 0.08, "cream", 1.15)
    a.tower((0, 0, z + 0.03), (0.6 * wide, 0.6 * wide), 0.1, "main", 0.95)
    a.tower((0, 0, z + 0.12), (0.57 * wide, 0.57 * wide), 0.18, "main", 0.78)
    a.ball((0, 0, z + 0.27), (0.455 * wide, 0.455 * wide, 0.21), "main")
    turn = a.stream.uniform(0, 6.28)
    for i in range(6):
        t = turn + 6.283 * i / 6
        r, h = (0.5, 0.2) if i % 2 else (0.36, 0.36)
        a.ball((r * wide * math.cos(t), r * wide * math.sin(t), z + h), (0.09, 0.09, 0.075),
               "contrast")  # fmt: skip
    a.ball((0, 0, z + 0.46), (0.1, 0.1, 0.04), "contrast")
    if a.chance(0.4):
        a.rod((0.42, -0.2, 0.0), (0.42, -0.2, 0.28), 0.08, "cream")
        a.ball((0.42, -0.2, 0.3), (0.2, 0.2, 0.14), "main")


def flower(a: Assembly) -> None:
    """A ring of petals around a golden middle, on a green stem with two leaves."""
    n = a.stream.choice((6, 7, 8))
    tall = 0.95 * a.vary(0.15)
    a.rod((0, 0.04, 0.0), (0, 0.04, tall), 0.045, "leaf")
    for side in (-1, 1):
        a.ball((side * 0.24, 0.02, 0.3 + 0.1 * side), (0.26, 0.05, 0.09), "leaf", ("y", -side * 30))
    turn = a.stream.uniform(0, 360)
    for i in range(n):
        angle = turn + 360 * i / n
        t = math.radians(angle)
        a.ball((0.34 * math.cos(t), -0.02, tall + 0.34 * math.sin(t)), (0.26, 0.05, 0.155),
               "main" if i % 2 else "main light", ("y", -angle))  # fmt: skip
    a.ball((0, -0.06, tall), (0.17, 0.1, 0.17), "gold")


def cactus(a: Assembly) -> None:
    """A ribbed column with bent arms and pale spines, sometimes in flower."""
    tall = 1.35 * a.vary(0.15)
    a.rod((0, 0, 0.0), (0, 0, tall), 0.22, "main", 0.2)
    a.ball((0, 0, tall), 0.2, "main")
    for side in (-1, 1):
        z = a.stream.uniform(0.42, 0.72) * tall
        up = a.stream.uniform(0.28, 0.5)
        a.chain(
            [(0, 0, z), (side * 0.48, 0, z + 0.02), (side * 0.5, 0, z + up)],
            [0.13, 0.13, 0.12],
            "main",
        )
        a.ball((side * 0.5, 0, z + up), 0.12, "main")
    for i in range(6):
        t = math.radians(60 * i + 15)
        c, s = 0.205 * math.cos(t), 0.205 * math.sin(t)
        a.rod((1.03 * c, 1.03 * s, 0.0), (c * 0.95, s * 0.95, tall), 0.022, "main dark")
    if a.chance(0.6):
        a.ball((0, 0, tall + 0.2), (0.13, 0.13, 0.08), "flesh")
    a.tower((0, 0, 0.0), (0.34, 0.34), 0.06, "wood", 0.8)


def volcano(a: Assembly) -> None:
    """A cone with an open top, lava running down it, smoke above."""
    top = 0.32
    tall = 0.78 * a.vary(0.15)
    a.tower((0, 0, 0.0), (1.0, 1.0), tall, "main", top)
    a.tower((0, 0, tall * 0.72), (0.52, 0.52), tall * 0.29, "main dark", 0.68)
    a.tower((0, 0, tall - 0.01), (0.3, 0.3), 0.05, "lava")
    a.ball((0, 0, tall + 0.03), (0.24, 0.24, 0.16), "flame")
    turn = a.stream.uniform(0, 6.28)
    for i in range(5):
        t = turn + 6.283 * i / 5
        c, s = math.cos(t), math.sin(t)
        down = a.stream.uniform(0.25, 0.6)
        r = 1.0 - (1 - top) * down
        a.rod((0.31 * c, 0.31 * s, tall + 0.01), (r * c, r * s, down * tall), 0.065, "lava", 0.1)
    for i in range(4):
        drift = 0.15 * i * a.vary(0.5)
        a.ball((drift, 0.06 * i, tall + 0.26 + 0.2 * i), 0.15 + 0.07 * i, "smoke")


def campfire(a: Assembly) -> None:
    """Flames over crossed logs inside a ring of stones; the flames carry the colour."""
    tall = a.vary(0.2)
    for i in range(4):
        t = math.radians(45 * i + 10)
        c, s = 0.46 * math.cos(t), 0.46 * math.sin(t)
        a.rod((-c, -s, 0.05), (c, s, 0.17), 0.075, "coffee")
        a.rod((c, s, 0.17), (1.03 * c, 1.03 * s, 0.172), 0.06, "cream")
    turn = a.stream.uniform(0, 6.28)
    for i in range(5):
        t = turn + 6.283 * i / 5
        x, y = 0.19 * math.cos(t), 0.19 * math.sin(t)
        h = 0.62 * tall * a.vary(0.2)
        a.ball((x, y, 0.24), (0.14, 0.14, 0.14), "main")
        a.rod((x, y, 0.28), (1.3 * x, 1.3 * y, 0.28 + h), 0.138, "main", 0.0)
    a.ball((0, 0, 0.36), (0.2, 0.2, 0.2), "main light")
    a.rod((0, 0, 0.42), (0.03, 0, 0.42 + 0.85 * tall), 0.19, "main light", 0.0)
    for i in range(9):
        t = 6.283 * i / 9
        a.ball((0.6 * math.cos(t), 0.6 * math.sin(t), 0.07), (0.13, 0.13, 0.1), "grey")


def rain_cloud(a: Assembly) -> None:
    """Heaped balls with a flat base, drops falling under them, sometimes a bolt of lightning."""
    wide = a.vary(0.12)
    z = 0.85
    for x, y, h, r in (
        (-0.55, 0.0, 0.0, 0.26),
        (-0.25, -0.1, 0.1, 0.34),
        (0.1, 0.05, 0.2, 0.4),
        (0.42, -0.06, 0.06, 0.31),
        (0.68, 0.0, -0.02, 0.22),
        (-0.05, -0.18, 0.0, 0.3),
        (0.25, 0.2, 0.02, 0.28),
    ):
        a.ball((x * wide, y, z + h), r * a.vary(0.1), "main")
    for i in range(9):
        x = (-0.55 + 0.14 * i) * wide
        y = 0.12 * math.sin(2.4 * i)
        low = a.stream.uniform(0.02, 0.32)
        a.rod((x, y, low), (x + 0.03, y, low + 0.2), 0.035, "rain", 0.008)
    if a.chance(0.5):
        a.rod((0.12, -0.05, 0.75), (0.0, -0.05, 0.45), 0.06, "lamp", 0.05)
        a.rod((0.0, -0.05, 0.47), (0.14, -0.05, 0.42), 0.05, "lamp", 0.05)
        a.rod((0.14, -0.05, 0.44), (0.04, -0.05, 0.12), 0.055, "lamp", 0.0)
