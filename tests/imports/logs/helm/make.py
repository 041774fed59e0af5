"""Make the logs beside this file with HELM (crfm-helm 0.5.16, `pip install crfm-helm==0.5.16`; no network is needed):
`python make.py FOLDER`. HELM's own simple scenarios, asked of two models that are right where a digest says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from helm.clients.simple_client import SimpleClient

RIGHT = {"base": 8, "tuned": 5}  # of 10
ENTRIES = (
    "simple_mcqa:model=demo/{0},data_augmentation=lower",
    "simple_classification:model=demo/{0},num_train_trials=2",
)
FILES = ("run_spec.json", "per_instance_stats.json", "scenario_state.json", "stats.json", "instances.json")
FILES += ("display_requests.json", "display_predictions.json")
KEPT = ("exact_match", "quasi_exact_match", "num_references", "inference_runtime", "max_prob", "logprob")
DEPLOYMENT = """
  - name: demo/{0}
    model_name: demo/{0}
    tokenizer_name: simple/tokenizer1
    max_sequence_length: 2048
    client_spec: {{class_name: make.DrawnClient}}"""
MODEL = """
  - name: demo/{0}
    display_name: {0}
    description: right where a digest says so
    creator_organization_name: demo
    access: open
    release_date: 2026-01-01
    tags: [TEXT_MODEL_TAG, FULL_FUNCTIONALITY_TEXT_MODEL_TAG]"""


class DrawnClient(SimpleClient):
    """Answer whether the last number of the prompt is even, right as the digest has it."""

    def invoke_model(self, raw_request):
        prompt, model = raw_request["prompt"], raw_request["engine"]
        number = int(re.findall(r"\d+", prompt)[-1])
        right = int(hashlib.sha256(repr((model, prompt)).encode()).hexdigest(), 16) % 10 < RIGHT[model]
        even = (number % 2 == 0) == right
        said = ("A" if even else "B") if "A. " in prompt else ("Even" if even else "Odd")
        return {"completions": [f" {said}"] * raw_request["num_completions"]}


def make(out: Path) -> None:
    """Run HELM in a temporary folder, and keep of every run, in FOLDER/MODEL/SCENARIO, what is read."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        (made / "model_deployments.yaml").write_text("model_deployments:" + "".join(map(DEPLOYMENT.format, RIGHT)))
        (made / "model_metadata.yaml").write_text("models:" + "".join(map(MODEL.format, RIGHT)))
        programs, place = Path(sys.executable).parent, ["--suite", "small", "--output-path", name]
        entries = [entry.format(model) for model in RIGHT for entry in ENTRIES]
        environment = {"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/bin:/bin"}
        run = [programs / "helm-run", "--max-eval-instances", "6", "--local-path", name, *place]
        subprocess.run([*run, "--run-entries", *entries], check=True, env=environment, cwd=name)
        subprocess.run([programs / "helm-summarize", *place], check=True, env=environment, cwd=name)
        for folder in (made / "runs" / "small").glob("*:*"):
            scenario, _, rest = folder.name.partition(":")
            keep(folder, out / rest.partition("demo_")[2].partition(",")[0] / scenario)


def keep(folder: Path, out: Path) -> None:
    """Copy a run without white space, and without most of the statistics that count tokens, time and costs."""
    out.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        content = json.loads((folder / file).read_text())
        if file == "per_instance_stats.json":
            content = [{**each, "stats": [stat for stat in each["stats"] if kept(stat)]} for each in content]
        elif file == "stats.json":
            content = [stat for stat in content if kept(stat)]
        (out / file).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def kept(stat: dict) -> bool:
    return stat["name"]["name"].startswith(KEPT)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
