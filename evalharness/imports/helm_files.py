"""Read the files of helm-run's folders, one folder for each scenario and model.

They are run_spec.json, per_instance_stats.json and scenario_state.json (benchmark/runner.py).

Where scenario_state.json was left out to save space, what helm-summarize makes of it is read in its place:
display_requests.json, display_predictions.json and instances.json (benchmark/presentation/run_display.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.data.files import json_value, kind
from evalharness.errors import DataError

SPEC, STATS, STATE = "run_spec.json", "per_instance_stats.json", "scenario_state.json"
REQUESTS, PREDICTIONS, INSTANCES = "display_requests.json", "display_predictions.json", "instances.json"
AGAIN = "run helm-run again (what was answered comes from its cache), or copy the folder again"
SEPARATE = "multiple_choice_separate"  # every choice is a request of its own; the display files keep one of them
OF_MODEL = ("model=", "model_deployment=")

Object = Mapping[str, Any]


class TrialKey(NamedTuple):
    """What a statistic is about: an instance, its perturbation, and the choice of solved examples."""

    instance: str
    perturbation: str
    trial: int


@dataclass(frozen=True, slots=True)
class HelmRun:
    """One run folder of HELM. `spec` is the content of run_spec.json."""

    folder: Path
    spec: Object

    @property
    def adapter(self) -> Object:
        """Return the specification of prompts and decoding."""
        adapter: Object = self.spec["adapter_spec"]
        return adapter

    @property
    def model(self) -> str:
        return str(self.adapter["model"])

    @property
    def task(self) -> str:
        """Return the run's name without its model."""
        name, colon, arguments = str(self.spec["name"]).partition(":")
        parts = [part for part in arguments.split(",") if not part.startswith(OF_MODEL)]
        return f"{name}:{','.join(parts)}" if colon and any(parts) else name


def run_folders(path: Path) -> list[Path]:
    """List the folder itself, or those in it, if they have a run of HELM."""
    if not path.is_dir():
        return []
    folders = [path] if (path / SPEC).is_file() else sorted(file.parent for file in path.glob(f"*/{SPEC}"))
    return [folder for folder in folders if any((folder / name).is_file() for name in (STATS, STATE, "stats.json"))]


def read_run(folder: Path) -> HelmRun:
    """Read run_spec.json. Raises DataError."""
    spec = read_json(folder / SPEC, dict)
    adapter = spec.get("adapter_spec")
    names = (spec.get("name"), adapter.get("model") if isinstance(adapter, dict) else None)
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(folder / SPEC, "no run of HELM (without its name or adapter_spec.model)", AGAIN)
    return HelmRun(folder, spec)


def read_json(file: Path, form: type) -> Any:
    """Read a file with a JSON object or list. Raises DataError."""
    if not file.is_file():
        raise DataError(file, "is missing", AGAIN)
    value = json_value(file, finite=False)
    if not isinstance(value, form):
        raise DataError(file, f"no file of HELM (it is {kind(value)})", AGAIN)
    return value


def objects(file: Path, value: Any, what: str) -> list[Object]:
    """Check that a value is a list of objects. Raises DataError."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise DataError(file, f"no file of HELM ({what} is no list of objects)", AGAIN)
    return value


def key_of(file: Path, record: Object, instance: Object | None = None) -> TrialKey:
    """Read which instance and trial a record is about. Raises DataError.

    `instance` is the record's field for the instance, if it has the whole instance and not only its id.
    """
    identity = record.get("instance_id") if instance is None else instance.get("id")
    perturbed = (record if instance is None else instance).get("perturbation")
    trial = record.get("train_trial_index", 0)
    if not isinstance(identity, str) or not isinstance(trial, int):
        what = f"no file of HELM (an instance's id is {kind(identity)}, train_trial_index is {kind(trial)})"
        raise DataError(file, what, AGAIN)
    name = perturbed.get("name", "perturbed") if isinstance(perturbed, dict) else ""
    return TrialKey(identity, str(name), trial)


def read_states(run: HelmRun) -> tuple[Path, dict[TrialKey, list[Object]]]:
    """Read the request states of every instance and trial, with their file. Raises DataError.

    A trial has several states if each choice was a request of its own.
    """
    file = run.folder / STATE
    if not file.is_file():
        return run.folder / REQUESTS, _displayed(run)
    document = read_json(file, dict)
    adapter = document.get("adapter_spec")
    model = adapter.get("model") if isinstance(adapter, dict) else None
    if model != run.model:
        raise DataError(file, f"is of the model {model}, and {SPEC} of {run.model}", "copy the files of one run")
    states: dict[TrialKey, list[Object]] = {}
    for state in objects(file, document.get("request_states"), "request_states"):
        instance = state.get("instance")
        if not isinstance(instance, dict):
            raise DataError(file, f"no file of HELM (an instance is {kind(instance)})", AGAIN)
        if state.get("request_mode") != "calibration":
            states.setdefault(key_of(file, state, instance), []).append(state)
    return file, states


def _displayed(run: HelmRun) -> dict[TrialKey, list[Object]]:
    """Rebuild request states from helm-summarize's files."""
    files = [run.folder / name for name in (REQUESTS, PREDICTIONS, INSTANCES)]
    if not all(file.is_file() for file in files) or str(run.adapter.get("method")).startswith(SEPARATE):
        raise DataError(run.folder / STATE, "is missing, which holds what was asked", AGAIN)
    requests, predictions, instances = (objects(file, read_json(file, list), file.name) for file in files)
    by_name = {key_of(files[2], each, each)[:2]: each for each in instances}
    by_key = {key_of(files[1], each): each for each in predictions}
    states: dict[TrialKey, list[Object]] = {}
    for request in requests:
        key = key_of(files[0], request)
        if key[:2] not in by_name or key not in by_key:
            raise DataError(files[0], f"holds {key.instance}, which is not in {PREDICTIONS} and {INSTANCES}", AGAIN)
        result = {"completions": [{"text": by_key[key].get("predicted_text")}]}
        state = {"instance": by_name[key[:2]], "request": request.get("request"), "result": result}
        mapped = by_key[key].get("mapped_output")
        states.setdefault(key, []).append({**state, "mapped_output": mapped})
    return states


def read_statistics(run: HelmRun) -> dict[TrialKey, list[Object]]:
    """Read the statistics of every instance and trial. Raises DataError, also for one that comes twice."""
    file = run.folder / STATS
    statistics: dict[TrialKey, list[Object]] = {}
    for record in objects(file, read_json(file, list), "it"):
        key = key_of(file, record)
        statistics.setdefault(key, []).extend(objects(file, record.get("stats"), "stats"))
    return statistics
