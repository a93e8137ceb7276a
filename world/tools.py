"""The tools: each function adds one tool's solids to an assembly, flat in the xz plane."""

import math

from .assembly import Assembly


def hammer(a: Assembly) -> None:
    """A thick handle, a heavy steel head with a face on one side and a claw on the other."""
    long = 1.35 * a.vary(0.12)
    a.rod((0, 0, 0.0), (0, 0, long), 0.1, "main", 0.075)
    a.rod((0, 0, 0.0), (0, 0, 0.55), 0.12, "main", 0.11)
    a.rod((0, 0, 0.0), (0, 0, 0.04), 0.135, "main dark")
    z = long + 0.06
    a.box((0, 0, z), (0.26, 0.22, 0.26), "steel")
    a.rod((0.1, 0, z), (0.34, 0, z), 0.1, "steel")
    a.rod((0.34, 0, z), (0.46, 0, z), 0.155, "steel")
    for side in (-1, 1):
        a.chain(
            [(-0.1, side * 0.05, z + 0.05), (-0.34, side * 0.07, z + 0.05),
             (-0.56, side * 0.09, z - 0.14)],
            [0.085, 0.07, 0.015],
            "steel",
        )  # fmt: skip


def saw(a: Assembly) -> None:
    """A long toothed blade that narrows, and a handle with a grip hole."""
    n = 13
    long = 1.7 * a.vary(0.1)
    z = 0.34
    a.box((0.4 * long, 0, z + 0.1), (0.95 * long, 0.025, 0.26), "steel")
    a.box((0.4 * long, 0, z + 0.26), (0.95 * long, 0.03, 0.18), "steel", ("y", 6))
    for i in range(n):
        x = 0.9 * long * (i + 0.5) / n
        a.tower((x, 0, z - 0.15), (0.055, 0.02), 0.14, "steel", 0.0, ("y", 180))
    a.ring((-0.24, 0, z + 0.16), 0.25, 0.11, "main", ("x", 90))
    a.box((0.02, 0, z + 0.16), (0.26, 0.13, 0.5), "main", ("y", 8))
    a.box((-0.3, 0, z - 0.1), (0.42, 0.13, 0.14), "main", ("y", -20))
    for dz in (0.0, 0.28):
        a.rod((0.04, -0.08, z + dz), (0.04, 0.08, z + dz), 0.04, "gold")


def drill(a: Assembly) -> None:
    """A pistol-shaped power drill: motor, grip, battery, chuck and bit."""
    long = a.vary(0.1)
    a.rod((-0.5 * long, 0, 0.95), (0.3, 0, 0.95), 0.22, "main")
    a.rod((-0.58 * long, 0, 0.95), (-0.5 * long, 0, 0.95), 0.19, "dark")
    a.rod((0.3, 0, 0.95), (0.46, 0, 0.95), 0.2, "dark", 0.13)
    a.rod((0.44, 0, 0.95), (0.62, 0, 0.95), 0.12, "steel", 0.08)
    a.rod((0.62, 0, 0.95), (1.2 * long, 0, 0.95), 0.04, "steel")
    for i in range(4):
        x = 0.68 + 0.11 * i
        a.rod((x, 0, 0.95), (x + 0.05, 0, 0.95), 0.055, "grey")
    a.box((-0.26, 0, 0.52), (0.24, 0.2, 0.72), "main", ("y", 12))
    a.box((-0.13, 0, 0.66), (0.1, 0.1, 0.16), "dark")
    a.box((-0.33, 0, 0.11), (0.58, 0.34, 0.22), "dark")
    a.box((-0.33, 0, 0.25), (0.5, 0.28, 0.08), "main dark")
    for i in range(3):
        a.box((-0.4 + 0.12 * i, 0, 1.0), (0.04, 0.45, 0.16), "main dark")


def axe(a: Assembly) -> None:
    """A long wooden handle and a wedge-shaped head that widens to a bright edge."""
    long = 1.7 * a.vary(0.1)
    a.rod((0, 0, 0.0), (0, 0, long), 0.075, "wood")
    a.ball((0, 0, 0.05), (0.12, 0.08, 0.08), "wood")
    z = long - 0.16
    a.box((0, 0, z), (0.24, 0.2, 0.34), "main")
    a.box((0.2, 0, z), (0.36, 0.14, 0.36), "main")
    a.tower((0.36, 0, z - 0.15), (0.36, 0.05), 0.3, "main", 0.42, ("y", -90))
    a.tower((0.51, 0, z - 0.06), (0.38, 0.035), 0.12, "steel", 0.92, ("y", -90))
    a.box((-0.16, 0, z), (0.14, 0.2, 0.26), "main dark")


def screwdriver(a: Assembly) -> None:
    """A fat fluted handle on a thin shaft with a flat tip; the tip points down."""
    lean = math.radians(a.stream.uniform(10, 35))
    c, s = math.cos(lean), math.sin(lean)
    shaft = 0.85 * a.vary(0.15)

    def at(t: float) -> tuple[float, float, float]:
        return (t * s, 0.0, t * c)

    a.rod(at(0.1), at(shaft), 0.055, "steel")
    a.box(at(0.08), (0.15, 0.04, 0.2), "steel", ("y", math.degrees(lean)))
    a.rod(at(shaft - 0.04), at(shaft + 0.1), 0.1, "dark", 0.17)
    a.rod(at(shaft + 0.1), at(shaft + 0.28), 0.15, "main", 0.2)
    a.rod(at(shaft + 0.28), at(shaft + 0.8), 0.2, "main", 0.19)
    x, _, z = at(shaft + 0.8)
    a.ball((x, 0, z), 0.19, "main")
    for i in range(8):
        t = math.radians(45 * i)
        u, v = 0.19 * math.cos(t), 0.19 * math.sin(t)
        p, q = at(shaft + 0.34), at(shaft + 0.76)
        a.rod((p[0] + u * c, v, p[2] - u * s), (q[0] + u * c, v, q[2] - u * s), 0.035,
              "contrast")  # fmt: skip


def scissors(a: Assembly) -> None:
    """Two pointed blades that cross at a screw, two ring handles; the points look up."""
    spread = a.stream.uniform(10, 26)
    for side in (-1, 1):
        t = math.radians(side * spread)
        c, s = math.cos(t), math.sin(t)
        y = 0.03 * side
        a.rod((0.05 * s, y, 0.72 + 0.05 * c), (1.0 * s, y, 0.72 + 1.0 * c), 0.1, "steel", 0.015)
        a.rod((0.0, y, 0.72), (-0.36 * s, y, 0.72 - 0.32 * c), 0.085, "main")
        a.ring((-0.54 * s - side * 0.09, y, 0.72 - 0.52 * c), 0.19, 0.065, "main", ("x", 90))
    a.rod((0, -0.12, 0.76), (0, 0.12, 0.76), 0.06, "gold")


def lawn_mower(a: Assembly) -> None:
    """A low deck on four wheels, an engine on it, a long handle and a bag behind."""
    long = a.vary(0.1)
    a.box((0.1, 0, 0.3), (1.0 * long, 0.66, 0.22), "main")
    a.tower((0.14, 0, 0.4), (0.36, 0.3), 0.14, "main", 0.7)
    a.tower((0.14, 0, 0.5), (0.2, 0.2), 0.22, "dark")
    a.tower((0.14, 0, 0.7), (0.14, 0.14), 0.06, "grey")
    a.box((0.4, 0.1, 0.52), (0.18, 0.16, 0.12), "steel")
    for side in (-1, 1):
        a.wheel((0.5 * long, side * 0.36, 0.19), 0.19, 0.12)
        a.wheel((-0.36 * long, side * 0.36, 0.22), 0.22, 0.12)
        a.rod((-0.36, side * 0.26, 0.38), (-1.2, side * 0.26, 1.2), 0.035, "steel")
    a.rod((-1.2, -0.28, 1.2), (-1.2, 0.28, 1.2), 0.05, "dark")
    a.rod((-0.78, -0.26, 0.79), (-0.78, 0.26, 0.79), 0.03, "steel")
    if a.chance(0.7):
        a.box((-0.68, 0, 0.44), (0.55, 0.46, 0.36), "main dark", ("y", 12))
