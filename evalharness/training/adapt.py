"""Make a model trainable: all weights or some, adapter layers, or virtual tokens before its texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from torch import nn
from transformers import PreTrainedModel

from evalharness.checkpoints.libraries import quiet
from evalharness.checkpoints.open_model import embedding_shape
from evalharness.errors import UsageError, first_line
from evalharness.records.models import Method
from evalharness.training.recipe import Recipe
from evalharness.training.targets import (
    attention_layers,
    linear_layers,
    matching_layers,
    paths_ending_with,
    peft_targets,
    selected_parameters,
)

TrainableModel = PreTrainedModel | PeftModel
TABLE = "prompt_encoder.default.embedding.weight"  # the virtual tokens: (their number, values of each)


def adapt(model: PreTrainedModel, recipe: Recipe) -> TrainableModel:
    """Make exactly the parameters trainable that the method trains. Raises UsageError if it can train none of this
    model's.

    A new prefix starts from the model's own states of tokens drawn from its vocabulary, because peft's random start is
    far above their scale.
    """
    if not recipe.definition.adapter:
        model.requires_grad_(recipe.method == Method.FULL)
        for parameter in selected_parameters(model, recipe) if recipe.definition.selective else ():
            parameter.requires_grad_(True)
        return model
    task = TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM
    with expected_warnings():
        try:
            trainable = get_peft_model(model, CONFIGS[recipe.definition.adapter](model, recipe, task))
        except (ValueError, NotImplementedError) as error:
            raise UsageError(
                f"--method {recipe.method}",
                f"peft cannot put it into this model ({first_line(error)})",
                "another method",
            ) from None
        if recipe.method == Method.PREFIX:
            _start_prefix(trainable, model)
    return trainable


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Suppress harmless warnings of peft: its deprecation notice, and that on GPT-2's transposed layers."""
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out is set to False.*")
        yield


def _lora(model: PreTrainedModel, recipe: Recipe, task: TaskType) -> PeftConfig:
    return LoraConfig(
        task_type=task,
        r=recipe.option("rank"),
        lora_alpha=recipe.scale,  # type: ignore[arg-type]
        lora_dropout=recipe.option("dropout"),
        target_modules=peft_targets(model, recipe),
        use_dora=recipe.dora,
        use_rslora=recipe.rslora,
    )


def _ia3(model: PreTrainedModel, recipe: Recipe, task: TaskType) -> PeftConfig:
    """Put factors on outputs in attention and on inputs elsewhere, as in the IA3 paper (Liu et al. 2022): by default on
    keys, values and the second layer of the feed-forward network, if peft knows these layers of the architecture.
    """
    kind = model.config.model_type
    if recipe.option("targets") is None:
        if kind not in TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING:
            raise UsageError("--targets", f"which layers IA3 should scale in a {kind} model is not known", "name them")
        targets = list(TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING[kind])
        feedforward = list(TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[kind])
    else:
        targets, attention = matching_layers(model, peft_targets(model, recipe)), set(attention_layers(model))
        feedforward = [path for path in targets if path not in attention]
    if not any(paths_ending_with(name, linear_layers(model)) for name in targets):
        raise UsageError("--targets", f"IA3's usual layers ({', '.join(targets)}) are not in this model", "name others")
    return IA3Config(task_type=task, target_modules=targets, feedforward_modules=feedforward)


def _prompt(_: PreTrainedModel, recipe: Recipe, task: TaskType) -> PeftConfig:
    """Configure one soft prompt, because peft's default for encoder-decoder models trains a second one without use."""
    return PromptTuningConfig(
        task_type=task,
        num_virtual_tokens=recipe.option("virtual_tokens"),
        prompt_tuning_init="SAMPLE_VOCAB",
        num_transformer_submodules=1,
    )


def _p_tuning(model: PreTrainedModel, recipe: Recipe, task: TaskType) -> PeftConfig:
    return PromptEncoderConfig(
        task_type=task,
        num_virtual_tokens=recipe.option("virtual_tokens"),
        encoder_hidden_size=recipe.option("hidden") or embedding_shape(model)[1],
        num_transformer_submodules=1,
    )


def _prefix(_: PreTrainedModel, recipe: Recipe, task: TaskType) -> PeftConfig:
    return PrefixTuningConfig(task_type=task, num_virtual_tokens=recipe.option("virtual_tokens"))


CONFIGS: dict[str, Callable[[PreTrainedModel, Recipe, TaskType], PeftConfig]] = {
    "LORA": _lora,
    "IA3": _ia3,
    "PROMPT_TUNING": _prompt,
    "PREFIX_TUNING": _prefix,
    "P_TUNING": _p_tuning,
}


@torch.no_grad()
def _start_prefix(trainable: PeftModel, model: PreTrainedModel) -> None:
    """Start a new prefix from the model's own keys and values of tokens of its vocabulary (Li and Liang 2021, "real
    words"), in an encoder-decoder model those of the decoder's self-attention.

    Models whose cache does not have the prefix's shape keep peft's random start.
    """
    table = trainable.get_parameter(TABLE)
    tokens = torch.randint(0, embedding_shape(model)[0], (1, table.shape[0])).to(table.device)
    training = model.training
    model.eval()
    if model.config.is_encoder_decoder:
        outputs = model(input_ids=tokens[:, :1], decoder_input_ids=tokens, use_cache=True)
        cache = outputs.past_key_values.self_attention_cache
    else:
        cache = model(input_ids=tokens, use_cache=True).past_key_values
    model.train(training)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    flat = torch.stack([part[0].transpose(0, 1).reshape(table.shape[0], -1) for pair in layers for part in pair], dim=1)
    if flat.numel() == table.numel():
        table.copy_(flat.reshape(table.shape).to(table.dtype))


def all_finite(model: nn.Module) -> bool:
    """Return whether all trained values are finite."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters() if parameter.requires_grad)


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Count (trained parameters, parameters of the whole model as it answers)."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(number for number, trained in counts if trained), sum(number for number, _ in counts)
