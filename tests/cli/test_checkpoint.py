"""`checkpoint show` and `checkpoint kinds`: everything worth knowing of a directory, and never a traceback."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from command_line import exit_code

from evalharness.checkpoints.kinds import TYPES

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.fixture
def run(capsys):
    """Arguments to (exit code, stdout, stderr)."""

    def call(*arguments):
        return (exit_code("checkpoint", *arguments), *capsys.readouterr())

    return call


def lines_of(text):
    return {line[2:17].strip(): line[18:] for line in text.splitlines()[1:]}


def test_show_a_base(run, zoo):
    code, out, _ = run("show", zoo["t5"])
    lines = lines_of(out)
    assert code == 0 and out.startswith("t5\n")
    assert (lines["kind"], lines["architecture"], lines["precision"]) == (
        "base",
        "encoder-decoder (t5)",
        "not quantised",
    )
    assert lines["base"] == "–" and lines["tokenizer"] == "nothing to compare it with"
    assert re.fullmatch(r"F32 \(\d+ tensors\)", lines["dtype"])


def test_show_a_lora(run, zoo, tiny, tmp_path, edit_json):
    path = tiny.make_adapter(zoo["llama"], tmp_path / "mine", tiny.lora(use_dora=True, use_rslora=True))
    edit_json(
        path / "training.json",
        base=str(zoo["llama"]),
        method="lora",
        target_task="rte",
        recipe={"rank": 4, "learning_rate": 0.0002},
        data={},
    )
    code, out, _ = run("show", path)
    lines = lines_of(out)
    assert code == 0
    assert (lines["kind"], lines["rank, alpha"], lines["virtual tokens"]) == (
        "lora (peft's LORA, DoRA, rsLoRA)",
        "4, 8",
        "0",
    )
    assert lines["targets"].startswith("down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj (14 modules)")
    assert (lines["trained for"], lines["trained by"]) == ("rte", "method lora, learning_rate 0.0002, rank 4")
    assert lines["base"] == str(zoo["llama"]) and lines["tokenizer"] == "nothing to compare it with"
    assert re.match(
        r"14 matrices of 41,472 weights; r = 4: [\d,]+ trained in their place, \d+ % fewer", lines["matrices"]
    )
    each = [
        line
        for line in run("show", path, "--matrices")[1].splitlines()
        if ".lora" not in line and " weights; r =" in line
    ]
    assert len(each) == 15 and each[-1].startswith(
        "  base_model.model.model.layers.1.self_attn.v_proj: 24 × 48 = 1,152"
    )
    facts = json.loads(run("show", path, "--json")[1])
    assert len(facts["made"]["lora"]["matrices"]) == 14
    assert (facts["adapter"], facts["made"]["marks"], facts["refused"], facts["notices"]) == (
        "LORA",
        ["DoRA", "rsLoRA"],
        None,
        [],
    )
    assert len(facts["made"]["modules"]) == 7 and facts["training"]["rank"] == 4


def test_show_a_prefix_and_one_task_of_several(run, zoo):
    lines = lines_of(run("show", zoo["t5-PREFIX_TUNING"])[1])
    assert (lines["kind"], lines["virtual tokens"]) == ("prefix (peft's PREFIX_TUNING)", "5")
    assert lines["nearest tokens"].endswith("it has no nearest tokens") and "clusters" not in lines
    code, _, err = run("show", zoo["llama-POLY"])
    assert code == 2 and "name one:" in err
    assert lines_of(run("show", f"{zoo['llama-POLY']}#1")[1])["task"] == "1"


def test_show_what_a_soft_prompt_is_near_to(run, zoo):
    lines = lines_of(run("show", zoo["llama-prompt"])[1])
    assert re.match(r"0: '.+' 0\.\d\d '.+' 0\.\d\d '.+' 0\.\d\d; 1: ", lines["nearest tokens"])
    assert lines["clusters"].endswith("alone (cosine of any two ≥ 0.5)")
    facts = json.loads(run("show", zoo["llama-prompt"], "--json")[1])["made"]["soft_prompt"]
    assert [len(near) for near in facts["nearest"]] == [5] * 5 and sum(map(len, facts["clusters"])) == 5


def test_show_how_the_tokenizer_differs(run, zoo, copy, tiny, edit_json):
    folder = copy("llama", "tuned")
    model, tokenizer = tiny.open_model(folder), tiny.make_tokenizer("llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(folder)
    code, out, _ = run("show", folder, "--base", zoo["llama"])
    assert code == 0
    assert re.search(r"tokenizer +added: '<pad>' \(\d+\); pad_token None → <pad>; chat template added\n", out)
    assert out.count("  note: ") == 2


def test_show_what_run_would_refuse(run, zoo, copy):
    """All that can be read is shown first."""
    folder = copy("llama", "tuned")
    value = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = value["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    code, out, err = run("show", folder, "--base", zoo["llama"])
    assert code == 2 and "token ids moved" in err
    assert re.search(r"tokenizer +moved: 'a' \(\d+ → \d+\), 'b' \(\d+ → \d+\)", out)
    code, out, err = run("show", folder, "--base", zoo["llama"], "--json")
    facts = json.loads(out)
    assert code == 2 and "token ids moved" in facts["refused"] and set(facts["differences"]["moved"]) == {"a", "b"}


def test_show_a_folder_of_several(run, zoo, tmp_path):
    for name, step in (("llama", 20), ("llama-lora", 3)):
        shutil.copytree(zoo[name], tmp_path / "out" / f"checkpoint-{step}")
    (tmp_path / "out" / "checkpoint-100").mkdir()
    code, out, _ = run("show", tmp_path / "out")
    lines = out.splitlines()
    assert code == 0 and lines[0].endswith("out: no checkpoint itself, 3 inside")
    assert re.fullmatch(r"  checkpoint-3 +lora +[\d,]+ bytes", lines[1])
    assert re.fullmatch(r"  checkpoint-20 +full +[\d,]+ bytes", lines[2])
    assert "checkpoint-100 cannot be evaluated" in lines[3]
    assert lines[4].startswith(f"Name one ({tmp_path}/out/checkpoint-100), or all with '{tmp_path}/out/*'")
    facts = json.loads(run("show", tmp_path / "out", "--json")[1])
    assert [row["kind"] for row in facts["inside"]] == ["lora", "full", None]


def test_show_adapters_beside_the_default_one(run, zoo, tmp_path):
    folder = shutil.copytree(zoo["llama-lora"], tmp_path / "adapters")
    shutil.copytree(zoo["llama-prompt"], folder / "other")
    assert lines_of(run("show", folder)[1])["adapters inside"] == "other"


@pytest.mark.parametrize("name", ["llama", "t5-PREFIX_TUNING", "gpt2-lora"])
def test_show_never_gives_a_traceback(name, run, zoo, tmp_path):
    random = Random(name)
    for turn in range(20):
        folder = shutil.copytree(zoo[name], tmp_path / str(turn))
        path = random.choice(sorted(path for path in folder.iterdir() if path.is_file()))
        data = path.read_bytes()
        at = random.randrange(len(data))
        way = random.choice(["delete", "cut", "change", "null"])
        if way == "delete":
            path.unlink()
        else:
            changed = data[:at] + bytes(random.randrange(256) for _ in range(5)) + data[at + 5 :]
            path.write_bytes({"cut": data[:at], "null": b"null", "change": changed}[way])
        code, out, err = run("show", folder)
        assert code in (0, 2) and "bug in evalharness" not in err and "Traceback" not in out + err, (path.name, way, at)
        shutil.rmtree(folder)


def test_kinds(run):
    code, out, _ = run("kinds")
    assert code == 0
    for name, found in TYPES.items():
        assert re.search(rf"^  {name} +{found.kind} .*{re.escape(found.why_not)}$", out, re.MULTILINE)
    facts = json.loads(run("kinds", "--json")[1])
    assert [row["type"] for row in facts["adapters"]] == list(TYPES)
    assert all(row["why_not"] or (row["causal"] and row["seq2seq"]) for row in facts["adapters"])


@pytest.mark.slow
def test_kinds_imports_nothing_heavy():
    code = "import sys\nfrom evalharness.cli.main import main\n"
    code += "try: main(['checkpoint', 'kinds'])\nfinally: print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PREFIX_TUNING" in process.stdout
    assert not {"torch", "transformers", "peft", "datasets", "huggingface_hub"} & set(
        process.stdout.splitlines()[-1].split()
    )


def test_the_page_of_kinds_is_up_to_date():
    page = runpy.run_path(str(DOCS / "make_kinds_table.py"))["page"]
    text = (DOCS / "checkpoints.md").read_text("utf-8")
    assert page(text) == text, "run: python docs/make_kinds_table.py"
