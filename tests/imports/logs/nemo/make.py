"""Record the logs beside this file with nemo-evaluator 0.2.8 (Python 3.11): python make.py

Its own runner asks a server that answers rightly as often as the model's name says, and writes byob_predictions.jsonl
and byob_results.json.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHARES = {"base": 0.75, "tuned": 0.5}  # of right answers
MODES = {"sums": "chat", "words": "chat", "parity": "completions_logprob"}


def draw(*parts: object) -> float:
    """A number from 0 to 1 that only depends on the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


class Model(BaseHTTPRequestHandler):
    """Answer like a server of OpenAI's API."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = logprobs(body) if "prompt" in body else chat(body)
        data = json.dumps({"choices": [answer]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def chat(body: dict[str, Any]) -> dict[str, Any]:
    prompt = body["messages"][-1]["content"]
    right = draw(body["model"], prompt) < SHARES[body["model"]]
    if prompt.startswith("Say"):
        said = prompt.partition(": ")[2].split()
        text = " ".join(said if right else said[: 1 + int(3 * draw(prompt))])
    else:
        text = str(sum(map(int, re.findall(r"\d+", prompt))) + (0 if right else 1))
    return {"message": {"role": "assistant", "content": text}}


def logprobs(body: dict[str, Any]) -> dict[str, Any]:
    """One token a word: the log-probability of the last one is what is chosen by."""
    words = re.findall(r"\s*\S+", body["prompt"])
    offsets = [sum(map(len, words[:place])) for place in range(len(words))]
    right = draw(body["model"], words[0]) < SHARES[body["model"]]
    even = int(words[0]) % 2 == 0
    likely = (words[-1].strip() == "even") == (even if right else not even)
    values = [None, *(-1.0 for _ in words[2:]), -0.5 if likely else -2.0 - draw(body["prompt"])]
    tops = [None, *({word: value} for word, value in zip(words[1:], values[1:], strict=True))]
    of = {"tokens": words, "text_offset": offsets, "token_logprobs": values, "top_logprobs": tops}
    return {"text": body["prompt"], "logprobs": of}


def write_rows(folder: Path) -> None:
    sums = [{"a": 3 * i + 1, "b": 7 * i % 11, "total": 3 * i + 1 + 7 * i % 11} for i in range(16)]
    sums[9] = sums[2]  # a question that comes twice
    parity = [
        {"number": 13 * i + 5, "label": ("odd", "even")[(13 * i + 5) % 2 == 0], "choices": [" even", " odd"]}
        for i in range(16)
    ]
    names = "amber birch cedar delta ember fjord grove heron".split()
    words = [{"text": " ".join(names[(i + j) % 8] for j in range(3 + i % 3))} for i in range(12)]
    for name, rows in {"sums": sums, "parity": parity, "words": words}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder))
        for model in SHARES:
            for task, mode in MODES.items():
                command = [sys.executable, "-m", "nemo_evaluator.contrib.byob.runner", "--save-predictions"]
                command += ["--benchmark-module", str(HERE / "benchmarks.py"), "--benchmark-name", task]
                command += ["--dataset", f"{folder}/{task}.jsonl", "--output-dir", str(HERE / model)]
                command += ["--model-url", f"http://127.0.0.1:{server.server_port}/v1"]
                command += ["--model-id", model, "--model-type", mode]
                subprocess.run(command, check=True, cwd=folder)
    server.shutdown()


if __name__ == "__main__":
    main()
