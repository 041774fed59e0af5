"""Open full weights as a transformers model that uses every tensor, or as an empty one without data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
from transformers.utils.quantization_config import GgufConfig

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import SHOWN, UNLOADABLE, first_names, quiet, read_into_memory
from evalharness.checkpoints.precision import QUANTISED
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.records.models import Architecture

if TYPE_CHECKING:
    from peft import PeftModel

CLASSES = {Architecture.CAUSAL: AutoModelForCausalLM, Architecture.SEQ2SEQ: AutoModelForSeq2SeqLM}
MAPPINGS = {
    Architecture.CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING,
    Architecture.SEQ2SEQ: MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
}
EAGER = "eager"  # the attention that every architecture has
WANTED = {
    Architecture.CAUSAL: "give a causal language model",
    Architecture.SEQ2SEQ: "give an encoder-decoder model that writes text",
}


def architecture_in(directory: Path) -> Architecture:
    """Read the architecture of the full weights in a directory."""
    return files.architecture_of(files.model_config(directory))


def gguf_options(directory: Path) -> tuple[Path, dict[str, Any]]:
    """Return the directory that transformers reads, and the options that name the file if it is a GGUF file."""
    path = files.gguf_file(directory)
    return (directory, {}) if path is None else (path.parent, {"gguf_file": path.name})


def architecture_of(model: PreTrainedModel | PeftModel) -> Architecture:
    """Return the architecture of a model in memory."""
    return Architecture.SEQ2SEQ if model.config.is_encoder_decoder else Architecture.CAUSAL


def embedding_shape(model: PreTrainedModel) -> torch.Size:
    """Return the shape (rows, width) of the input embeddings."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape


def attention_of(directory: Path, architecture: Architecture = Architecture.CAUSAL) -> str:
    """Return the attention implementation that the model is opened with: sdpa if the architecture has it, else eager.

    Raises ModelError for an unknown architecture.
    """
    with quiet():
        try:
            source, options = gguf_options(directory)
            config = AutoConfig.from_pretrained(source, local_files_only=True, **options)
            model: Any = MAPPINGS[architecture][type(config)]
        except UNLOADABLE as error:
            raise ModelError(
                directory,
                f"no {architecture} model that transformers knows ({first_line(error)})",
                WANTED[architecture],
            ) from None
    return "sdpa" if model._supports_sdpa else EAGER


def from_pretrained(directory: Path, **options: Any) -> PreTrainedModel:
    """Open full weights as a model, in memory that no file is mapped to. Raises ModelError naming tensors that are
    missing, extra or of the wrong shape, and MemoryError.
    """
    model: PreTrainedModel
    source, gguf = gguf_options(directory)
    if gguf:  # unpacked, also if kernels could compute with the packed weights
        options |= gguf | {"quantization_config": GgufConfig(dequantize=True)}
    with quiet(), read_into_memory():
        try:
            if not gguf:  # separately, because its own attention setting would override `options`
                options["config"] = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
            model, report = CLASSES[architecture_in(directory)].from_pretrained(
                source,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below, together
                **options,
            )
        except UNLOADABLE as error:
            pass_on_memory_error(error)
            stored = QUANTISED in files.model_config(directory)
            library = "install the library that quantised it, or give the weights before quantisation"
            fix = library if stored else "give a complete checkpoint"
            raise ModelError(directory, f"cannot be loaded ({first_line(error)})", fix) from None
    if wrong := _misfits(report):
        no_head = len(wrong) == 1 and set(report["missing_keys"]) == {"lm_head.weight"}
        tied = ": tie_word_embeddings true says that the embeddings are the head, too" if no_head else ""
        raise ModelError(
            directory,
            f"its tensors do not fit its config.json: {'; '.join(wrong)}",
            f"save the checkpoint again, or mend config.json{tied}",
        )
    return model


def _misfits(report: Mapping[str, Any]) -> list[str]:
    """Return the misfits in transformers' loading report, in words."""
    return [
        *misnamed(report["missing_keys"], report["unexpected_keys"]),
        *(
            f"wrong shape {name}: {tuple(has)} where {tuple(wants)} belongs"
            for name, has, wants in sorted(report["mismatched_keys"])[:SHOWN]
        ),
        *(first_line(message) for message in report.get("error_msgs") or ()),
    ]


def misnamed(missing: set[str], unexpected: set[str]) -> list[str]:
    """Return the tensors that only the model or only the file has, in words."""
    by_problem = {"missing": missing, "unexpected": unexpected}
    return [f"{what} {first_names(names)}" for what, names in by_problem.items() if names]


def empty_model(directory: Path) -> PreTrainedModel:
    """Build the full weights' model on the meta device. Tensors of files that are not quantised are checked, as by
    `from_pretrained`.
    """
    source, gguf = gguf_options(directory)
    if not gguf and QUANTISED not in files.read_json(directory / files.CONFIG):
        return from_pretrained(directory, device_map="meta", attn_implementation=EAGER)
    with quiet():
        try:
            config = copy.deepcopy(
                AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False, **gguf)
            )
            if hasattr(config, QUANTISED):
                delattr(config, QUANTISED)
            with torch.device("meta"):
                model: PreTrainedModel = CLASSES[architecture_in(directory)].from_config(
                    config, attn_implementation=EAGER
                )
                return model
        except UNLOADABLE as error:
            raise ModelError(
                directory, f"cannot be loaded ({first_line(error)})", "give an architecture that transformers has"
            ) from None
