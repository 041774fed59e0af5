"""Write down what a wheel of vLLM says of the functions and classes that the engine uses: `python record_api.py
WHEEL…` reads their source, imports nothing, and writes api.json beside this file.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "api.json"
PLACES = {  # what the engine uses, to the file of the wheel that defines it
    "LLM.__init__": "vllm/entrypoints/llm.py",
    "LLM.generate": "vllm/entrypoints/llm.py",
    "EngineArgs": "vllm/engine/arg_utils.py",
    "SamplingParams": "vllm/sampling_params.py",
    "TokensPrompt": "vllm/inputs/llm.py",
    "LoRARequest": "vllm/lora/request.py",
    "LoRAConfig": "vllm/config/lora.py",
    "Logprob": "vllm/logprobs.py",
    "RequestOutput.__init__": "vllm/outputs.py",
    "CompletionOutput": "vllm/outputs.py",
    "LLMEngine.add_lora": "vllm/v1/engine/llm_engine.py",
    "LLMEngine.remove_lora": "vllm/v1/engine/llm_engine.py",
    "EngineCoreClient.shutdown": "vllm/v1/engine/core_client.py",
    "ModelConfig.get_vocab_size": "vllm/config/model.py",
    "VllmConfig.use_v2_model_runner": "vllm/config/vllm.py",
    "cleanup_dist_env_and_memory": "vllm/distributed/parallel_state.py",
    "PEFTHelper": "vllm/lora/peft_helper.py",
}
CONSTANTS = {"MAX_LOGPROB_TOKEN_IDS": "vllm/sampling_params.py", "MaxLoRARanks": "vllm/config/lora.py"}
VARIABLES = "vllm/envs.py"


def parameters(node: ast.stmt) -> list[str]:
    """Names of a function's parameters, or of a class's fields."""
    if isinstance(node, ast.FunctionDef):
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return [argument.arg for argument in every if argument.arg != "self"]
    assert isinstance(node, ast.ClassDef)
    return [
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]


def defined(tree: ast.Module, name: str) -> ast.stmt:
    """The function or class of this name; `Class.method` inside it."""
    body: list[ast.stmt] = tree.body
    for part in name.split("."):
        node = next(node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part)
        body = node.body
    return node


def constant(tree: ast.Module, name: str) -> Any:
    """The value of a module's constant, or the values of its Literal."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            value = node.value.slice if isinstance(node.value, ast.Subscript) else node.value
            return ast.literal_eval(value)
    raise LookupError(name)


def recorded(wheel: Path) -> dict[str, Any]:
    """Version, parameters, constants and the environment variables that begin with VLLM_."""
    with zipfile.ZipFile(wheel) as archive:

        def tree(path: str) -> ast.Module:
            return ast.parse(archive.read(path))

        names = {name: parameters(defined(tree(path), name)) for name, path in PLACES.items()}
        values = {name: constant(tree(path), name) for name, path in CONSTANTS.items()}
        strings = [
            n.value for n in ast.walk(tree(VARIABLES)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
    variables = sorted({text for text in strings if text.startswith("VLLM_") and text.isupper()})
    used = [name for name in variables if name in USED_VARIABLES]
    return {"parameters": names, "constants": values, "variables": used}


USED_VARIABLES = (
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN",
    "VLLM_BATCH_INVARIANT",
    "VLLM_CPU_OMP_THREADS_BIND",
    "VLLM_LOGGING_LEVEL",
    "VLLM_LOGGING_STREAM",
    "VLLM_NO_USAGE_STATS",
    "VLLM_USE_V2_MODEL_RUNNER",
)


if __name__ == "__main__":
    wheels = {"-".join(path.name.split("-")[:2]): recorded(path) for path in map(Path, sys.argv[1:])}
    GOLDEN.write_text(json.dumps(wheels, indent=1) + "\n", encoding="utf-8")
