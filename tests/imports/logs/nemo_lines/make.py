"""Record the logs beside this file: python make.py (nemo-evaluator 0.3.0 with scipy, Python 3.12)

Its own command asks the server of ../nemo/make.py two tasks. Of what it writes the samples and the results are kept.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = """
from nemo_evaluator.environments.custom import benchmark, scorer
from nemo_evaluator.scoring import ScorerInput, exact_match


@benchmark(
    name="sums", dataset="sums.jsonl", prompt="What is {a} plus {b}? Answer with a number.", target_field="total",
    system_prompt="You are a calculator.",
)
@scorer
def sums(sample: ScorerInput) -> dict:
    return exact_match(sample)


@benchmark(name="words", dataset="words.jsonl", prompt="Say this again: {text}", target_field="text")
@scorer
def words(sample: ScorerInput) -> dict:
    said, wanted = sample.response.split(), sample.target.split()
    return {"reward": len(set(said) & set(wanted)) / len(set(wanted))}
"""


def main() -> None:
    spec = importlib.util.spec_from_file_location("nemo_make", HERE.parent / "nemo" / "make.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        made.write_rows(Path(folder))
        (Path(folder) / "benchmarks.py").write_text(BENCHMARKS)
        for model in made.SHARES:
            shutil.rmtree(HERE / model, ignore_errors=True)
            for task in ("sums", "words"):
                command = [str(Path(sys.executable).parent / "nel"), "eval", "run", "-b", f"benchmarks.py:{task}"]
                command += ["--model-url", f"http://127.0.0.1:{server.server_port}/v1", "--model-id", model]
                command += [
                    "--api-key",
                    "none",
                    "--repeats",
                    "2" if task == "words" else "1",
                    "-o",
                    f"out/{model}/{task}",
                ]
                subprocess.run(
                    command, check=True, cwd=folder, env=os.environ | {"NEMO_EVALUATOR_TELEMETRY_LEVEL": "0"}
                )
                (HERE / model / task).mkdir(parents=True)
                for pattern in ("results.jsonl", "eval-*.json"):
                    (file,) = Path(folder).glob(f"out/{model}/{task}/*/{pattern}")
                    shutil.copy(file, HERE / model / task)
    server.shutdown()


if __name__ == "__main__":
    main()
