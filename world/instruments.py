"""The musical instruments: each function adds one instrument's solids to an assembly.

Flat instruments stand upright in the xz plane with their front toward -y.
"""

import math

from .assembly import Assembly


def guitar(a: Assembly) -> None:
    """Two round bouts, a sound hole, a long neck with a head, strings."""
    deep, waist = 0.11, a.vary(0.08)
    a.rod((0, -deep, 0.42), (0, deep, 0.42), 0.42 * waist, "main")
    a.rod((0, -deep, 0.92), (0, deep, 0.92), 0.32, "main")
    a.box((0, 0, 0.7), (0.5, 2 * deep, 0.4), "main")
    a.rod((0, -deep - 0.012, 0.72), (0, 0, 0.72), 0.155, "cream")
    a.rod((0, -deep - 0.02, 0.72), (0, 0, 0.72), 0.125, "dark")
    a.box((0, -deep - 0.02, 0.34), (0.3, 0.05, 0.06), "coffee")
    a.box((0, -deep - 0.005, 1.55), (0.12, 0.07, 1.0), "wood")
    a.box((0, -deep - 0.045, 1.45), (0.1, 0.03, 1.15), "coffee")
    a.box((0, -deep, 2.14), (0.19, 0.06, 0.3), "main dark")
    for i in (-1, 0, 1):
        a.rod((0.03 * i, -deep - 0.07, 0.34), (0.03 * i, -deep - 0.07, 2.04), 0.008, "light")
        for side in (-1, 1):
            a.rod((side * 0.1, -deep, 2.14 + 0.09 * i), (side * 0.16, -deep, 2.14 + 0.09 * i),
                  0.025, "steel")  # fmt: skip


def violin(a: Assembly) -> None:
    """A small waisted body with a long black fingerboard, a scroll, and the bow beside it."""
    deep = 0.09
    narrow = a.vary(0.08)
    a.rod((0, -deep, 0.36), (0, deep, 0.36), 0.34 * narrow, "main")
    a.rod((0, -deep, 0.92), (0, deep, 0.92), 0.27 * narrow, "main")
    a.box((0, 0, 0.65), (0.32 * narrow, 2 * deep, 0.36), "main")
    for side in (-1, 1):
        a.box((side * 0.13, -deep, 0.6), (0.03, 0.03, 0.24), "dark", ("y", side * 12))
    a.box((0, -deep - 0.03, 0.52), (0.17, 0.06, 0.03), "cream")
    a.box((0, -deep - 0.04, 0.24), (0.09, 0.05, 0.28), "dark")
    a.ball((0.16, -deep, 0.12), (0.14, 0.05, 0.09), "dark")
    a.box((0, -deep - 0.05, 1.12), (0.085, 0.04, 0.95), "dark")
    a.box((0, -deep, 1.4), (0.08, 0.06, 0.6), "main dark")
    a.ring((0, -deep + 0.03, 1.74), 0.06, 0.035, "main dark", ("x", 90))
    for side in (-1, 1):
        a.rod((side * 0.03, -deep, 1.6), (side * 0.14, -deep, 1.6), 0.022, "dark")
    lean = a.stream.uniform(0.1, 0.35)
    x0, x1 = 0.42, 0.42 + lean
    a.rod((x0, -0.02, 0.02), (x1, -0.02, 1.72), 0.03, "wood", 0.02)
    a.rod((x0 - 0.07, -0.02, 0.06), (x1 - 0.06, -0.02, 1.7), 0.018, "light")
    a.box((x0 - 0.03, -0.02, 0.12), (0.1, 0.04, 0.08), "dark")
    a.box((x1 - 0.03, -0.02, 1.7), (0.1, 0.03, 0.04), "dark")


def drum(a: Assembly) -> None:
    """A shell with two hoops, a pale skin, zigzag cords, and two sticks on top."""
    r, high = 0.5, 0.62 * a.vary(0.25)
    a.tower((0, 0, 0.05), (r, r), high, "main")
    a.tower((0, 0, 0.0), (r * 1.06, r * 1.06), 0.1, "gold")
    a.tower((0, 0, high), (r * 1.06, r * 1.06), 0.1, "gold")
    a.tower((0, 0, high + 0.09), (r * 0.98, r * 0.98), 0.03, "light")
    n = 7
    for i in range(n):
        t0, t1, t2 = (math.radians(360 * (i + d) / n) for d in (0, 0.5, 1))
        low, top = 0.08, high + 0.02
        mid = (1.02 * r * math.cos(t1), 1.02 * r * math.sin(t1), low)
        for t in (t0, t2):
            a.rod((1.02 * r * math.cos(t), 1.02 * r * math.sin(t), top), mid, 0.022, "light")
    z = high + 0.16
    for side in (-1, 1):
        a.rod((-0.5, side * 0.3, z + 0.12), (0.3, side * 0.02, z), 0.03, "wood")
        a.ball((0.3, side * 0.02, z), 0.055, "wood")


def piano(a: Assembly) -> None:
    """An upright piano: a tall case, a keyboard of white and black keys, a music rest, a stool."""
    wide = a.vary(0.08)
    a.box((0, 0.16, 0.62), (1.5 * wide, 0.34, 1.24), "main")
    a.box((0, 0.14, 1.27), (1.58 * wide, 0.44, 0.06), "main dark")
    a.box((0, -0.12, 0.58), (1.5 * wide, 0.5, 0.1), "main")
    a.box((0, -0.16, 0.65), (1.32 * wide, 0.36, 0.05), "light")
    for i in range(13):
        if i % 7 not in (2, 6):
            a.box(((-0.58 + 0.097 * i) * wide, -0.08, 0.69), (0.05, 0.2, 0.05), "dark")
    for side in (-1, 1):
        a.box((side * 0.7 * wide, -0.17, 0.66), (0.12 * wide, 0.43, 0.16), "main dark")
        a.box((side * 0.7 * wide, -0.3, 0.27), (0.1, 0.1, 0.54), "main dark")
    a.box((0, -0.03, 0.98), (0.5, 0.03, 0.26), "cream", ("x", -12))
    a.box((0, -0.04, 0.16), (0.2, 0.06, 0.04), "gold")
    if a.chance(0.5):
        a.box((0.1, -0.75, 0.38), (0.5, 0.3, 0.07), "dark")
        for x in (-0.1, 0.3):
            for y in (-0.64, -0.86):
                a.rod((x, y, 0.0), (x, y, 0.36), 0.03, "dark")


def trumpet(a: Assembly) -> None:
    """A flared bell, a folded tube, three valves and a mouthpiece."""
    long = a.vary(0.1)
    z = 0.55
    a.rod((-0.95 * long, 0, z + 0.13), (0.55, 0, z + 0.13), 0.048, "main")
    a.rod((0.5, 0, z + 0.13), (0.8, 0, z + 0.13), 0.055, "main", 0.14)
    a.rod((0.8, 0, z + 0.13), (1.0, 0, z + 0.13), 0.14, "main", 0.36)
    a.rod((0.99, 0, z + 0.13), (1.005, 0, z + 0.13), 0.3, "coffee")
    a.rod((-0.4, 0, z - 0.15), (0.45, 0, z - 0.15), 0.045, "main")
    for x in (-0.4, 0.45):
        a.ring((x, 0, z - 0.01), 0.14, 0.045, "main", ("x", 90))
    a.rod((-1.05 * long, 0, z + 0.13), (-0.95 * long, 0, z + 0.13), 0.095, "steel", 0.05)
    for i in range(3):
        x = -0.14 + 0.17 * i
        a.rod((x, 0, z - 0.26), (x, 0, z + 0.26), 0.075, "main dark")
        a.rod((x, 0, z + 0.26), (x, 0, z + 0.38), 0.025, "steel")
        a.rod((x, 0, z + 0.38), (x, 0, z + 0.42), 0.06, "light")
    a.rod((-0.05, 0, z - 0.26), (-0.05, 0, 0.08), 0.03, "dark")  # a stand
    a.tower((-0.05, 0, 0.0), (0.28, 0.28), 0.08, "dark", 0.6)


def bell(a: Assembly) -> None:
    """A church bell hanging from a beam between two posts, its clapper showing."""
    wide = a.vary(0.12)
    z = 0.42
    a.tower((0, 0, z), (0.44 * wide, 0.44 * wide), 0.1, "main", 0.86)
    a.tower((0, 0, z + 0.1), (0.38 * wide, 0.38 * wide), 0.24, "main", 0.76)
    a.tower((0, 0, z + 0.34), (0.29 * wide, 0.29 * wide), 0.3, "main", 0.84)
    a.ball((0, 0, z + 0.63), (0.245 * wide, 0.245 * wide, 0.16), "main")
    a.tower((0, 0, z + 0.14), (0.372 * wide, 0.372 * wide), 0.05, "main dark", 0.96)
    a.rod((0, 0, z + 0.1), (0, 0, z - 0.1), 0.04, "dark")
    a.ball((0, 0, z - 0.1), 0.1, "dark")
    a.rod((0, 0, z + 0.76), (0, 0, 1.4), 0.05, "dark")
    a.box((0, 0, 1.42), (1.5, 0.16, 0.14), "wood")
    for side in (-1, 1):
        a.box((side * 0.66, 0, 0.71), (0.14, 0.14, 1.42), "wood")
        a.box((side * 0.66, 0, 0.05), (0.2, 0.6, 0.1), "wood")


def flute(a: Assembly) -> None:
    """A slanting tube with keys along it, rings at the joints, a lip plate."""
    rise = math.radians(a.stream.uniform(14, 40))
    c, s = math.cos(rise), math.sin(rise)
    r = 0.085

    def at(t: float, up: float) -> tuple[float, float, float]:
        return (t * c - up * s, 0.0, 0.12 + t * s + up * c)

    a.rod(at(0, 0), at(2.0, 0), r, "main")
    for t in (0.02, 0.5, 1.42, 1.98):
        a.rod(at(t - 0.03, 0), at(t + 0.03, 0), r * 1.25, "steel")
    a.rod(at(1.9, 0), at(1.98, 0), r * 1.1, "main dark")
    for i in range(7):
        t = 0.16 + 0.17 * i + (0.1 if i > 2 else 0)
        x, _, z = at(t, 0)
        a.rod((x, 0, z), (x, -r * 1.35, z), 0.06, "steel")
        a.rod((x, 0, z), (x, -r * 1.5, z), 0.03, "dark")
    a.rod(at(0.1, r * 1.25), at(1.35, r * 1.25), 0.02, "gold")
    x, _, z = at(1.65, 0)
    a.ball((x, -0.04, z), (0.14, 0.09, 0.11), "gold")
    a.rod((x, -0.1, z), (x, -0.135, z), 0.035, "dark")


def xylophone(a: Assembly) -> None:
    """Bars of falling length on two rails, with two mallets."""
    n = a.stream.choice((7, 8, 9))
    z = 0.3
    for i in range(n):
        x = -0.85 + 1.7 * i / (n - 1)
        deep = 0.98 - 0.56 * i / (n - 1)
        a.box((x, 0, z + 0.1), (1.3 / n, deep, 0.07), "main" if i % 2 == 0 else "main light")
        for side in (-1, 1):
            a.ball((x, side * deep * 0.36, z + 0.14), 0.03, "dark")
    for side in (-1, 1):
        a.rod((-0.95, side * 0.36, z), (0.95, side * 0.16, z), 0.05, "wood")
        a.rod((-0.8, side * 0.34, z), (-0.8, side * 0.34, 0.0), 0.045, "wood")
        a.rod((0.8, side * 0.18, z), (0.8, side * 0.18, 0.0), 0.045, "wood")
        a.rod((-0.7 + 0.1 * side, side * 0.1 - 0.5, z + 0.42), (0.1, side * 0.18, z + 0.22),
              0.025, "cream")  # fmt: skip
        a.ball((0.1, side * 0.18, z + 0.22), 0.075, "dark")
