"""Write results and their measurements and samples into a run's folder, for `gate`, `compare` and `report`."""

from __future__ import annotations

import shutil
from pathlib import Path

from evalharness.errors import StoreError
from evalharness.folder_lock import PATIENCE, hold_folder
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.results import Results
from evalharness.results.documents import write_results
from evalharness.results.files import MEASUREMENTS, OVERLAP, RUN, SAMPLES, forget_samples, open_folder
from evalharness.results.measurements import write_measurements
from evalharness.results.samples import write_samples


def save(
    out: Path, results: Results, measured: MeasuredRun | None, source: Path | None = None, same: bool = False
) -> None:
    """Write the results into the run `out`, and before them its measurements and samples.

    These are the measured run, or copies of the files in the folder `source`. `same`: the results belong to the run in
    `out`, which keeps its samples, and its other files until new ones replace them. Raises StoreError if something
    cannot be written.
    """
    with hold_folder(out, "--out", patience=PATIENCE):
        if not same:
            forget_samples(out)
        open_folder(out, same)
        if measured is not None:
            write_measurements(out, measured)
            for (task, model), samples in measured.samples.items():
                write_samples(out, task, model, samples)
        if source is not None and source.resolve() != out.resolve():
            _copy(source, out, (OVERLAP, RUN) if measured is not None else (MEASUREMENTS, OVERLAP, RUN))
        write_results(out, results)


def _copy(source: Path, out: Path, names: tuple[str, ...]) -> None:
    try:
        for name in names:
            if (source / name).is_file():
                shutil.copyfile(source / name, out / name)
        if (source / SAMPLES).is_dir():
            shutil.copytree(source / SAMPLES, out / SAMPLES, dirs_exist_ok=True)
    except OSError as error:  # shutil.Error is one
        raise StoreError(
            out, f"{source} cannot be copied here ({error})", "name a folder that can be written"
        ) from error
