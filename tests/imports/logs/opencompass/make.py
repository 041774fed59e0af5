"""Record the logs beside this file: python make.py (opencompass 0.5.4, Python 3.11, torch 2.13.0)

Its own command asks two models three tasks: one scored by exact match, of which the evaluator writes details, one by
accuracy, of which opencompass writes predictions beside references, and one by the lower perplexity of two endings.
The one run is recorded as two, of one model each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG = """
from models_and_data import Drawn, JsonLines, stripped
from opencompass.openicl.icl_evaluator import AccEvaluator, EMEvaluator
from opencompass.openicl.icl_inferencer import GenInferencer, PPLInferencer
from opencompass.openicl.icl_prompt_template import PromptTemplate
from opencompass.openicl.icl_retriever import ZeroRetriever


def task(name, gold, columns, template, inferencer, evaluator, **evaluation):
    return dict(
        type=JsonLines, abbr=name, path=f"{name}.jsonl",
        reader_cfg=dict(input_columns=columns, output_column=gold),
        infer_cfg=dict(
            prompt_template=dict(type=PromptTemplate, template=template),
            retriever=dict(type=ZeroRetriever),
            inferencer=dict(type=inferencer),
        ),
        eval_cfg=dict(evaluator=dict(type=evaluator), **evaluation),
    )


models = [
    dict(type=Drawn, abbr=name, path=name, max_out_len=16, batch_size=4, run_cfg=dict(num_gpus=0))
    for name in ("base", "tuned")
]
datasets = [
    task("sums", "total", ["a", "b"], "What is {a} plus {b}? Answer with a number.", GenInferencer, AccEvaluator,
         pred_postprocessor=dict(type=stripped)),
    task("words", "texts", ["text"], "Say this again: {text}", GenInferencer, EMEvaluator),
    task("parity", "label", ["number"], {"even": "{number} is even", "odd": "{number} is odd"},
         PPLInferencer, AccEvaluator),
]
del task
"""


def write_rows(folder: Path) -> None:
    sums = [{"a": 3 * i + 1, "b": 7 * i % 11, "total": 3 * i + 1 + 7 * i % 11} for i in range(16)]
    sums[9] = sums[2]  # a question that comes twice
    parity = [{"number": 13 * i + 5, "label": ("odd", "even")[(13 * i + 5) % 2 == 0]} for i in range(16)]
    names = "amber birch cedar delta ember fjord grove heron".split()
    texts = [" ".join(names[(i + j) % 8] for j in range(3 + i % 3)) for i in range(12)]
    words = [{"text": text, "texts": [text]} for text in texts]
    for name, rows in {"sums": sums, "parity": parity, "words": words}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder)
        (folder / "config.py").write_text(CONFIG)
        shutil.copy(HERE / "models_and_data.py", folder)
        command = [str(Path(sys.executable).parent / "opencompass"), "config.py", "--debug", "-w", "out"]
        environment = os.environ | {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
        subprocess.run(command, check=True, cwd=folder, env=environment)
        (run,) = (folder / "out").iterdir()
        for model in ("base", "tuned"):
            shutil.rmtree(HERE / model, ignore_errors=True)
            for part in ("predictions", "results"):
                shutil.copytree(run / part / model, HERE / model / run.name / part / model)


if __name__ == "__main__":
    main()
