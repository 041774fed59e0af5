"""Measure the report of 10,000 examples × 4 candidates: seconds to write, bytes, seconds until usable in Chromium.

The aims: 10 s, 2 MB, 2 s on two cores.

    python benchmarks/report_size.py [--examples 1000] [--tasks 10] [--keep DIR]
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import evalharness
from evalharness.records.measurements import Sample
from evalharness.results import write_samples

AIMS = {"written": 10.0, "usable": 2.0}  # seconds
AIM_BYTES = 2_000_000
CHANGED = {"base": 0.0, "first": 0.02, "second": 0.05, "third": 0.2, "fourth": 0.5}  # shares of answers drawn afresh
RIGHT = 0.7
WORDS = "the a cat dog house tree river stone sees likes builds paints old new red green quickly slowly today".split()
USABLE = """async () => {
  document.querySelector('#flips > details').open = true;
  document.querySelector("[data-step='1']").click();
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() / 1000;
}"""


def draw(tasks: int, examples: int, folder: Path) -> Path:
    """A run's folder with results.json and every sample."""
    rng = np.random.default_rng(1)
    right = rng.uniform(size=(tasks, examples)) < RIGHT
    scores = {
        model: np.where(rng.uniform(size=right.shape) < share, rng.uniform(size=right.shape) < RIGHT, right)
        for model, share in CHANGED.items()
    }
    for model, own in scores.items():
        with (folder / f"{model}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["task", "id", "score", "chance"])
            writer.writerows((f"task {t}", i, int(own[t, i]), 0.25) for t in range(tasks) for i in range(examples))
    run = folder / "run"
    evalharness.compare([str(folder / f"{model}.csv") for model in scores], out=run)
    for t in range(tasks):
        prompts = [f"{i}. {' '.join(rng.choice(WORDS, size=90))}\nAnswer:" for i in range(examples)]
        golds = [" ".join(rng.choice(WORDS, size=3)) for _ in range(examples)]
        for model, own in scores.items():
            samples = [
                Sample(
                    id=str(i),
                    unit=str(i),
                    prompt=prompts[i],
                    output=golds[i] if own[t, i] else " ".join(rng.choice(WORDS, size=3)),
                    reference=golds[i],
                    score=float(own[t, i]),
                )
                for i in range(examples)
            ]
            write_samples(run, f"task {t}", model, samples)
    return run


def seconds_to_write(run: Path) -> float:
    """Seconds of `evalharness report`, the start of Python included."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "evalharness", "report", str(run)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def usable(page: Path) -> float:
    """Seconds from opening the page until the second example is shown."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page(viewport={"width": 1400, "height": 900})
        view.goto(page.resolve().as_uri())
        seconds = view.evaluate(USABLE)
        browser.close()
    return float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000, help="of a task")
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="a new folder to leave the run in")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="report-size-"))
    folder.mkdir(exist_ok=True)
    run = draw(arguments.tasks, arguments.examples, folder)
    times = {"written": seconds_to_write(run), "usable": usable(run / "report.html")}
    size = (run / "report.html").stat().st_size
    examples, load = arguments.tasks * arguments.examples, os.getloadavg()[0]
    print(f"{examples:,} examples × {len(CHANGED) - 1} candidates, load {load:.1f}")
    for name, seconds in times.items():
        print(f"{name:8} {seconds:6.2f} s   aim {AIMS[name]:g} s")
    print(f"size     {size / 1e6:6.2f} MB  aim {AIM_BYTES / 1e6:g} MB")
    if arguments.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
