"""Photograph the report of a finished run for the docs: light, dark and on a phone, in a palette that keeps them small.

python docs/screenshots.py RUN        (make screenshots RUN=runs/demo)
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
WIDE, PHONE = (1400, 900), (390, 844)
PICTURES: dict[str, tuple[tuple[int, int], Literal["light", "dark"]]] = {
    "report.png": (WIDE, "light"),
    "report-dark.png": (WIDE, "dark"),
    "report-phone.png": (PHONE, "light"),
}
EXAMPLE = "report-example.png"  # the part of one example across all models
COLOURS = 160


def save(picture: bytes, name: str) -> None:
    image = (
        Image.open(io.BytesIO(picture))
        .convert("RGB")
        .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    image.save(DOCS / name, optimize=True)
    print(f"{name}: {(DOCS / name).stat().st_size / 1000:.0f} kB")


def main(run: Path) -> None:
    page = run / "report.html" if run.is_dir() else run
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, ((width, height), scheme) in PICTURES.items():
            view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            view.goto(page.resolve().as_uri())
            save(view.screenshot(), name)
            view.close()
        view = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]})
        view.goto(f"{page.resolve().as_uri()}#flips")
        save(view.locator("#flips").screenshot(), EXAMPLE)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
