"""The animals: each function adds one animal's solids to an assembly, facing x."""

import math

from .assembly import Assembly


def _legs(
    a: Assembly,
    front: float,
    back: float,
    side: float,
    top: float,
    radius: float,
    foot: str = "main dark",
) -> None:
    """Add four straight legs from ``top`` to the ground, with feet."""
    for x in (front, back):
        for y in (-side, side):
            a.rod((x, y, top), (x, y, 0.06), radius * 1.2, "main", radius * 0.8)
            a.ball((x + radius * 0.4, y, 0.05), (radius * 1.3, radius, 0.06), foot)


def dog(a: Assembly) -> None:
    """Short legs, hanging ears, a square snout, a raised tail."""
    long, leg = a.vary(), a.vary(0.2)
    z = 0.5 * leg + 0.15
    a.ball((0, 0, z), (0.52 * long, 0.21, 0.22), "main")
    a.ball((0.36 * long, 0, z + 0.04), (0.2, 0.2, 0.25), "main")
    _legs(a, 0.34 * long, -0.38 * long, 0.13, z, 0.07)
    a.rod((0.4 * long, 0, z + 0.1), (0.58 * long, 0, z + 0.42), 0.16, "main", 0.14)
    hx, hz = 0.62 * long, z + 0.5
    a.ball((hx, 0, hz), (0.2, 0.19, 0.19), "main")
    a.box((hx + 0.23, 0, hz - 0.06), (0.28, 0.17, 0.15), "main")
    a.ball((hx + 0.38, 0, hz - 0.0), 0.055, "dark")
    a.eyes(hx + 0.16, 0.1, hz + 0.07, 0.035)
    for side in (-1, 1):
        a.ball((hx - 0.04, side * 0.19, hz - 0.06), (0.1, 0.045, 0.2), "main dark")
    lift = a.stream.uniform(0.2, 0.45)
    a.rod((-0.48 * long, 0, z + 0.08), (-0.78 * long, 0, z + lift), 0.06, "main", 0.03)
    if a.chance(0.6):
        a.rod((0.49 * long, 0, z + 0.26), (0.525 * long, 0, z + 0.31), 0.165, "comb")


def cat(a: Assembly) -> None:
    """Sitting upright: a pear-shaped body, a round head with pointed ears, a curled tail."""
    fat = a.vary()
    a.ball((-0.08, 0, 0.3), (0.34 * fat, 0.28 * fat, 0.3), "main")
    a.rod((-0.05, 0, 0.3), (0.08, 0, 0.78), 0.26 * fat, "main", 0.15)
    a.ball((0.17, 0, 0.55), (0.1, 0.12, 0.2), "contrast")
    hx, hz = 0.14, 0.96
    a.ball((hx, 0, hz), (0.24, 0.27, 0.23), "main")
    for side in (-1, 1):
        a.rod((hx, side * 0.15, hz + 0.12), (hx, side * 0.22, hz + 0.4), 0.1, "main", 0.0)
        a.rod((hx + 0.05, side * 0.15, hz + 0.14), (hx + 0.03, side * 0.2, hz + 0.33), 0.06,
              "flesh", 0.0)  # fmt: skip
        a.rod((0.2, side * 0.1, 0.45), (0.26, side * 0.1, 0.05), 0.07, "main", 0.06)
        a.ball((0.31, side * 0.1, 0.05), (0.1, 0.07, 0.05), "main dark")
        a.ball((-0.05, side * 0.24, 0.16), (0.24, 0.1, 0.16), "main")
    a.ball((hx + 0.2, 0, hz - 0.07), (0.08, 0.12, 0.08), "contrast")
    a.ball((hx + 0.28, 0, hz - 0.03), 0.03, "flesh")
    a.eyes(hx + 0.2, 0.1, hz + 0.06, 0.04)
    a.chain(
        [(-0.36, 0, 0.08), (-0.62, 0.05, 0.12), (-0.74, 0.08, 0.4), (-0.6, 0.08, 0.66),
         (-0.68, 0.08, 0.86)],
        [0.07, 0.07, 0.065, 0.06, 0.04],
        "main dark",
    )  # fmt: skip


def cow(a: Assembly) -> None:
    """A barrel on legs with patches, horns and an udder."""
    long = a.vary(0.1)
    z = 0.88
    a.ball((0, 0, z), (0.72 * long, 0.3, 0.34), "main")
    a.box((0.0, 0, z + 0.03), (1.0 * long, 0.44, 0.5), "main")
    for _ in range(3 + a.stream.integer(3)):
        side = a.stream.choice((-1, 1))
        at = (a.stream.uniform(-0.4, 0.4) * long, side * 0.2, z + a.stream.uniform(-0.05, 0.18))
        a.ball(at, (a.stream.uniform(0.13, 0.22), 0.1, a.stream.uniform(0.1, 0.16)), "contrast")
    _legs(a, 0.45 * long, -0.48 * long, 0.2, z - 0.1, 0.08, "dark")
    a.ball((-0.25 * long, 0, z - 0.33), (0.16, 0.13, 0.12), "flesh")
    a.rod((0.5 * long, 0, z + 0.1), (0.82 * long, 0, z + 0.26), 0.22, "main", 0.16)
    hx, hz = 0.9 * long, z + 0.24
    a.ball((hx, 0, hz), (0.2, 0.16, 0.19), "main")
    a.rod((hx + 0.06, 0, hz - 0.02), (hx + 0.3, 0, hz - 0.16), 0.14, "main", 0.12)
    a.ball((hx + 0.3, 0, hz - 0.16), (0.09, 0.14, 0.11), "flesh")
    a.eyes(hx + 0.12, 0.13, hz + 0.06, 0.035)
    for side in (-1, 1):
        a.ball((hx - 0.06, side * 0.25, hz + 0.04), (0.05, 0.13, 0.06), "main dark")
        a.rod((hx, side * 0.1, hz + 0.14), (hx + 0.05, side * 0.24, hz + 0.36), 0.05, "cream", 0.01)
    a.rod((-0.7 * long, 0, z + 0.12), (-0.8 * long, 0, z - 0.4), 0.03, "main")
    a.ball((-0.8 * long, 0, z - 0.45), (0.06, 0.06, 0.12), "dark")


def horse(a: Assembly) -> None:
    """Long thin legs, a high arched neck with a mane, a long head, a full tail."""
    leg = a.vary(0.1)
    z = 1.05 * leg
    a.ball((0, 0, z), (0.62, 0.24, 0.27), "main")
    a.ball((0.36, 0, z + 0.04), (0.26, 0.23, 0.28), "main")
    a.ball((-0.4, 0, z + 0.05), (0.27, 0.24, 0.28), "main")
    _legs(a, 0.42, -0.5, 0.14, z, 0.07, "dark")
    a.rod((0.42, 0, z + 0.1), (0.8, 0, z + 0.72), 0.22, "main", 0.12)
    a.rod((0.74, 0, z + 0.8), (1.18, 0, z + 0.46), 0.14, "main", 0.085)
    a.ball((0.76, 0, z + 0.78), 0.14, "main")
    a.ball((1.18, 0, z + 0.46), 0.09, "main dark")
    a.eyes(0.88, 0.11, z + 0.76, 0.03)
    for side in (-1, 1):
        a.rod((0.7, side * 0.07, z + 0.86), (0.7, side * 0.09, z + 1.06), 0.05, "main", 0.0)
    for i in range(5):
        s = i / 4
        a.ball((0.28 + 0.4 * s, 0, z + 0.34 + 0.5 * s), (0.13, 0.05, 0.15), "mane")
    a.chain(
        [(-0.62, 0, z + 0.16), (-0.86, 0, z + 0.02), (-0.94, 0, z - 0.55)],
        [0.06, 0.1, 0.03],
        "mane",
    )


def elephant(a: Assembly) -> None:
    """A huge body on pillars, a trunk, fans for ears, tusks."""
    big = a.vary(0.1)
    z = 0.95
    a.ball((-0.05, 0, z), (0.75 * big, 0.48 * big, 0.5), "main")
    for x in (0.36, -0.46):
        for y in (-0.26, 0.26):
            a.rod((x, y, z - 0.1), (x, y, 0.0), 0.19, "main", 0.17)
            a.rod((x + 0.03, y, 0.08), (x + 0.03, y, 0.0), 0.18, "cream")
    hx, hz = 0.78 * big, z + 0.28
    a.ball((hx, 0, hz), (0.33, 0.3, 0.34), "main")
    a.eyes(hx + 0.25, 0.2, hz + 0.07, 0.04)
    for side in (-1, 1):
        a.ball((hx - 0.1, side * 0.43, hz), (0.1, 0.27, 0.36), "main dark", ("z", side * 30))
        a.rod((hx + 0.2, side * 0.15, hz - 0.2), (hx + 0.56, side * 0.2, hz - 0.28), 0.05,
              "cream", 0.01)  # fmt: skip
    tip = a.stream.uniform(0.0, 0.5)
    a.chain(
        [(hx + 0.24, 0, hz - 0.05), (hx + 0.45, 0, hz - 0.4), (hx + 0.5, 0, hz - 0.8),
         (hx + 0.72, 0, hz - 0.95 + tip)],
        [0.16, 0.12, 0.09, 0.06],
        "main",
    )  # fmt: skip
    a.rod((-0.76 * big, 0, z + 0.1), (-0.9 * big, 0, z - 0.4), 0.035, "main dark")


def duck(a: Assembly) -> None:
    """A boat-shaped body with a raised tail, a round head, a flat bill."""
    fat = a.vary()
    a.ball((0, 0, 0.42), (0.56, 0.34 * fat, 0.3 * fat), "main")
    a.rod((-0.35, 0, 0.48), (-0.74, 0, 0.78), 0.2, "main", 0.02)
    a.rod((0.34, 0, 0.5), (0.46, 0, 0.9), 0.17, "main", 0.12)
    a.rod((0.425, 0, 0.74), (0.44, 0, 0.79), 0.16, "contrast")
    a.ball((0.5, 0, 1.0), (0.21, 0.19, 0.2), "main")
    a.ball((0.76, 0, 0.95), (0.18, 0.12, 0.045), "beak")
    a.ball((0.68, 0, 0.98), (0.1, 0.1, 0.06), "beak")
    a.eyes(0.6, 0.15, 1.06, 0.04)
    for side in (-1, 1):
        a.ball((-0.1, side * 0.3 * fat, 0.48), (0.38, 0.08, 0.19), "main dark", ("y", 12))
        a.rod((0.02, side * 0.15, 0.2), (0.04, side * 0.15, 0.03), 0.035, "beak")
        a.ball((0.1, side * 0.16, 0.02), (0.15, 0.1, 0.025), "beak")


def rooster(a: Assembly) -> None:
    """A comb, a beak, thin legs, a fountain of tail feathers."""
    fat = a.vary()
    a.ball((0, 0, 0.66), (0.36, 0.25 * fat, 0.28), "main", ("y", -20))
    a.rod((0.16, 0, 0.74), (0.36, 0, 1.16), 0.2, "main", 0.1)
    a.ball((0.38, 0, 1.2), (0.13, 0.12, 0.13), "main")
    a.rod((0.47, 0, 1.19), (0.66, 0, 1.15), 0.055, "beak", 0.0)
    for i in range(4):
        a.ball((0.28 + 0.07 * i, 0, 1.34 + 0.02 * (i % 2)), (0.055, 0.03, 0.09), "comb")
    a.ball((0.49, 0, 1.05), (0.045, 0.04, 0.09), "comb")
    a.eyes(0.46, 0.09, 1.23, 0.025)
    for i in range(5):
        lift = math.radians(25 + 22 * i)
        reach = 0.62 * a.vary(0.1)
        mid = (-0.25 - 0.3 * math.cos(lift), 0.06 * (i - 2), 0.75 + 0.42 * math.sin(lift))
        end = (
            -0.28 - reach * math.cos(lift) - 0.12,
            0.11 * (i - 2),
            0.72 + 0.55 * math.sin(lift) - 0.03,
        )
        a.rod((-0.24, 0.02 * (i - 2), 0.74), mid, 0.08, "main dark", 0.07)
        a.rod(mid, end, 0.075, "mane", 0.0)
    for side in (-1, 1):
        a.ball((-0.03, side * 0.22 * fat, 0.68), (0.24, 0.06, 0.16), "main dark", ("y", -15))
        a.rod((0.02, side * 0.1, 0.45), (0.02, side * 0.11, 0.03), 0.03, "beak")
        a.rod((-0.1, side * 0.11, 0.02), (0.16, side * 0.13, 0.02), 0.025, "beak")


def snake(a: Assembly) -> None:
    """A winding, banded body on the ground and a raised head with a tongue."""
    swing = 0.26 * a.vary(0.2)
    turns = a.stream.uniform(1.4, 1.9)
    phase = a.stream.uniform(0, 6.28)
    n = 11
    points = []
    for i in range(n):
        s = i / (n - 1)
        points.append((-1.0 + 1.7 * s, swing * math.sin(6.28 * turns * s + phase), 0.09))
    for i in range(n - 1):
        r0, r1 = 0.03 + 0.075 * min(1.0, 3 * i / n), 0.03 + 0.075 * min(1.0, 3 * (i + 1) / n)
        a.rod(points[i], points[i + 1], r0, "main" if i % 2 else "main dark", r1)
        a.ball(points[i + 1], r1, "main")
    x, y, _ = points[-1]
    a.rod((x, y, 0.09), (x + 0.16, y * 0.6, 0.42), 0.105, "main", 0.09)
    a.ball((x + 0.16, y * 0.6, 0.42), 0.09, "main")
    hx, hy, hz = x + 0.26, y * 0.6, 0.46
    a.ball((hx, hy, hz), (0.17, 0.12, 0.085), "main dark")
    for side in (-1, 1):
        a.ball((hx + 0.07, hy + side * 0.08, hz + 0.06), 0.03, "lamp")
    a.rod((hx + 0.13, hy, hz - 0.02), (hx + 0.34, hy, hz - 0.04), 0.016, "comb")


def rabbit(a: Assembly) -> None:
    """Two long upright ears, a crouched round body, a ball for a tail."""
    ear = a.vary(0.2)
    a.ball((-0.08, 0, 0.34), (0.42, 0.28, 0.32), "main")
    a.ball((0.34, 0, 0.64), (0.23, 0.2, 0.21), "main")
    a.ball((0.18, 0, 0.44), (0.2, 0.2, 0.2), "main")
    for side in (-1, 1):
        a.ball((0.24, side * 0.1, 0.78 + 0.3 * ear), (0.07, 0.055, 0.34 * ear), "main",
               ("y", -10))  # fmt: skip
        a.ball((0.285, side * 0.1, 0.78 + 0.3 * ear), (0.04, 0.04, 0.26 * ear), "flesh",
               ("y", -10))  # fmt: skip
        a.ball((-0.2, side * 0.22, 0.24), (0.25, 0.12, 0.23), "main dark")
        a.ball((-0.02, side * 0.23, 0.06), (0.23, 0.08, 0.06), "main")
        a.rod((0.28, side * 0.12, 0.34), (0.34, side * 0.12, 0.05), 0.07, "main", 0.055)
    a.ball((-0.52, 0, 0.38), 0.13, "contrast")
    a.ball((0.56, 0, 0.62), 0.035, "flesh")
    a.ball((0.5, 0, 0.57), (0.06, 0.09, 0.06), "contrast")
    a.eyes(0.48, 0.15, 0.7, 0.04)
