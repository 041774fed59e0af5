"""What the engine vllm calls, against what the wheels of two versions of vLLM say they have (api.json, by
record_api.py).
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from evalharness.engines import OPTIONS
from evalharness.engines.vllm import environment
from evalharness.engines.vllm.adapters import COMPUTED
from evalharness.engines.vllm.options import RANKS
from evalharness.engines.vllm.scores import MOST_TOKENS

HERE = Path(__file__).parent
WHEELS: dict[str, Any] = json.loads((HERE / "api.json").read_text())
PACKAGE = HERE.parents[2] / "evalharness" / "engines" / "vllm"
TREE = ast.parse((PACKAGE / "resident.py").read_text())
ANSWERS = json.loads((HERE / "answers.json").read_text())
CLASSES = {"TokensPrompt", "SamplingParams", "LoRARequest", "LLM"}


@pytest.fixture(params=WHEELS)
def wheel(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(WHEELS[request.param])


def keywords(function: str) -> set[str]:
    """The names of all keywords with which a function or method is called by its last name."""
    calls = [node for node in ast.walk(TREE) if isinstance(node, ast.Call)]
    named = [call for call in calls if function == getattr(call.func, "attr", getattr(call.func, "id", None))]
    assert named, f"{function} is not called"
    return {keyword.arg for call in named for keyword in call.keywords if keyword.arg is not None}


def strings_in(function: str) -> set[str]:
    """The keys of all dictionaries that a function of resident.py writes."""
    (node,) = (node for node in TREE.body if isinstance(node, ast.FunctionDef) and node.name == function)
    dicts = [inner for inner in ast.walk(node) if isinstance(inner, ast.Dict)]
    return {key.value for each in dicts for key in each.keys if isinstance(key, ast.Constant)}


def test_a_model_is_opened_with_arguments_that_vllm_has(wheel: dict[str, Any]) -> None:
    known = {*wheel["parameters"]["LLM.__init__"], *wheel["parameters"]["EngineArgs"]}
    assert strings_in("_arguments") | strings_in("_lora_arguments") | set(OPTIONS["vllm"]) <= known
    assert {"model", "generation_config", "enable_lora", "lora_target_modules"} <= strings_in(
        "_arguments"
    ) | strings_in("_lora_arguments")


def test_calls_have_the_parameters_that_vllm_has(wheel: dict[str, Any]) -> None:
    assert keywords("TokensPrompt") <= set(wheel["parameters"]["TokensPrompt"])
    assert keywords("LoRARequest") <= set(wheel["parameters"]["LoRARequest"])
    assert keywords("generate") <= set(wheel["parameters"]["LLM.generate"])
    assert wheel["parameters"]["LLM.generate"][:2] == ["prompts", "sampling_params"]
    assert wheel["parameters"]["LLMEngine.add_lora"] == ["lora_request"]
    assert wheel["parameters"]["LLMEngine.remove_lora"] == ["lora_id"]


def test_what_is_asked_of_every_kind_of_request_are_sampling_parameters(wheel: dict[str, Any]) -> None:
    asked = {key for call in ANSWERS["calls"] for key in call["sampling"]}
    certain = {"prompt_logprob_token_ids", "prompt_logprob_start"}
    assert asked | certain <= set(wheel["parameters"]["SamplingParams"])
    assert {"logprob_token_ids", "prompt_logprobs", "stop", "stop_token_ids", "repetition_penalty"} <= asked


def test_answers_have_the_fields_that_are_read(wheel: dict[str, Any]) -> None:
    assert {"prompt_logprobs", "prompt_token_id_logprobs", "outputs"} <= set(
        wheel["parameters"]["RequestOutput.__init__"]
    )
    assert {"token_ids", "logprobs"} <= set(wheel["parameters"]["CompletionOutput"])
    assert {"logprob", "rank"} <= set(wheel["parameters"]["Logprob"])


def test_limits_and_variables_are_vllms(wheel: dict[str, Any]) -> None:
    assert wheel["constants"]["MAX_LOGPROB_TOKEN_IDS"] == MOST_TOKENS
    assert tuple(wheel["constants"]["MaxLoRARanks"]) == RANKS
    ours = {*environment.DEFAULTS, *environment.CHOICES.values(), *environment.CPU_CHOICES.values()}
    assert {name for name in ours if name.startswith("VLLM_")} <= set(wheel["variables"])


def test_what_is_held_to_be_computed_of_a_lora_is_read_by_vllm(wheel: dict[str, Any]) -> None:
    stored_transposed = {"fan_in_fan_out"}  # says how the base's matrix lies, not the adapter's
    assert set(COMPUTED) - stored_transposed <= set(wheel["parameters"]["PEFTHelper"])
