"""docs/coming_from_lm_eval.md names all options of `lm_eval run`, and no others."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parent.parent / "docs/coming_from_lm_eval.md").read_text("utf-8")
LEFT_OUT = {  # they change nothing of what is asked or scored
    *("--config", "--max_batch_size", "--cache_requests", "--verbosity", "--show_config", "--wandb_config_args"),
    "--metadata",
}


def test_its_options_are_those_of_the_installed_version() -> None:
    package = importlib.util.find_spec("lm_eval")
    assert package is not None and package.submodule_search_locations is not None
    source = (Path(package.submodule_search_locations[0]) / "_cli" / "run.py").read_text("utf-8")
    theirs = set(re.findall(r'^ +"(--\w+)",$', source, re.MULTILINE))
    first_cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `--")]
    named = set(re.findall(r"--\w+", " ".join(first_cells)))
    assert named == theirs - LEFT_OUT
    assert f"lm-eval {importlib.metadata.version('lm_eval')}" in PAGE
