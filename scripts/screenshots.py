"""Pictures of the page for the README: a siren and a few words, on a phone, a tablet and a desk.

Start ``anybind serve indices/demo`` first (``make demo`` builds the index); Chromium and
``pip install playwright`` are needed.
"""

import argparse
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from anybind.files import write_atomically

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE_MS = 60_000
SETTLING_MS = 1500  # for pictures to load and to glide to their places
QUALITY = 88  # of JPEG
QUESTION = "What is making this sound?"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture."""

    name: str
    width: int  # pixels of the window
    height: int
    scheme: str  # light or dark
    texts: tuple[tuple[str, float], ...] = ()  # beside the siren, with their weights
    empty: bool = False  # the page as it opens


SHOTS = (
    Shot(name="page-1600", width=1600, height=1000, scheme="light", texts=(("a forest", 1),)),
    Shot(
        name="page-1024",
        width=1024,
        height=800,
        scheme="dark",
        texts=(("on the moon", 0.8), ("red", -0.4)),
    ),
    Shot(name="page-390", width=390, height=844, scheme="light"),
    Shot(name="page-empty-390", width=390, height=844, scheme="dark", empty=True),
)


def take(browser: "Browser", address: str, shot: Shot) -> bytes:
    """A picture as JPEG; the language model is asked if the server has one."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#examples button")
    if not shot.empty:
        page.click("#examples >> text=siren")
        for text, weight in shot.texts:
            page.fill("#text", text)
            page.press("#text", "Enter")
            slider = page.locator(".part input[type=range]").last
            slider.evaluate(
                "(node, to) => { node.value = to; node.dispatchEvent(new Event('input')); }", weight
            )
        page.wait_for_timeout(SETTLING_MS)
        page.wait_for_selector("#wall[aria-busy=false] .tile img")
        if page.locator("#ask").is_visible():
            page.fill("#question", QUESTION)
            page.press("#question", "Enter")
            page.wait_for_selector(".turn .answer:not(.running)")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.mouse.move(0, 0)
    page.wait_for_timeout(SETTLING_MS)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--address", default="http://127.0.0.1:8000/", help="of the server")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        sys.exit("there is no chromium here; install it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for shot in SHOTS:
            path = args.out / f"{shot.name}.jpg"
            content = take(browser, args.address, shot)
            write_atomically(path, content)
            print(f"{path}: {shot.width} x {shot.height}, {len(content) // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
