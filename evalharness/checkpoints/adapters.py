"""An adapter's files onto a model, through peft, with every tensor accounted for."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.poly.layer import PolyLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import nn
from transformers import Cache, EncoderDecoderCache, PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.kinds import PLACEBO, TYPES, refusal, refusal_on_quantised
from evalharness.checkpoints.shared_weights import own, twin
from evalharness.checkpoints.weights import UNLOADABLE, VirtualPrefix, first_line, names, quiet
from evalharness.errors import ModelError
from evalharness.records.models import Architecture, Checkpoint

FIX = "the adapter is for another base or was saved incompletely: give --base, or save it again"
TASKS: dict[Architecture, str] = {Architecture.CAUSAL: "CAUSAL_LM", Architecture.SEQ2SEQ: "SEQ_2_SEQ_LM"}
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """What fits but is worth knowing: base tensors that the adapter's file replaces (resized or trained embeddings),
    and other notices.
    """

    replaced: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """What answers with the adapter: the model (peft's wrapper is around it), and what stands before every text."""

    model: PreTrainedModel
    wrapped: PeftModel | None = None
    lead: VirtualPrefix = field(default_factory=VirtualPrefix)


# ---- configuration ---------------------------------------------------------------------------------------------------


def _config(checkpoint: Checkpoint, architecture: Architecture) -> tuple[PeftConfig, tuple[str, ...]]:
    """peft's configuration, and notices about fields that this peft does not know. Raises ModelError for what cannot be
    answered with.
    """
    where = checkpoint.path / files.ADAPTER_CONFIG
    why = refusal(checkpoint.adapter, architecture)
    if why:
        raise ModelError(where, why, "`evalharness checkpoint kinds` lists what is supported")
    why = refusal_on_quantised(checkpoint.adapter, checkpoint.precision)
    if why:
        raise ModelError(where, why, "give its base without quantisation (--precision none where its files hold it so)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = PEFT_TYPE_TO_CONFIG_MAPPING[checkpoint.adapter].from_pretrained(str(checkpoint.path))
        except UNLOADABLE as error:
            raise ModelError(where, f"peft cannot read it ({first_line(error)})", "save the adapter again") from None
    config.inference_mode = True
    task = getattr(config.task_type, "value", config.task_type)
    if task not in (None, TASKS[architecture]):
        raise ModelError(
            where,
            f"task_type {task}, on a base that is {architecture}",
            f"an adapter trained for {TASKS[architecture]}",
        )
    why = _restless(config) or _undecided(checkpoint, config)
    if why:
        raise ModelError(where, *why)
    return config, tuple(
        first_line(RuntimeError(str(warning.message)))
        for warning in caught
        if "Unexpected keyword" in str(warning.message)
    )


def _restless(config: PeftConfig) -> tuple[str, str] | None:
    """Options with which a text's answer hangs on chance, on the rest of the batch, or on files elsewhere."""
    merge = "merge it into full weights and give those"
    if getattr(config, "alora_invocation_tokens", None):
        return (
            "an activated LoRA (alora_invocation_tokens), which works from some token on, is not supported",
            "give a LoRA that works everywhere",
        )
    if getattr(config, "arrow_config", None):
        return "an Arrow router over other adapters (arrow_config) is not supported", merge
    if getattr(config, "sample_at_inference", False):
        return "sample_at_inference draws other answers every time", "set it to false in adapter_config.json"
    if getattr(config, "num_transformer_submodules", 1) != 1 and config.peft_type == "MULTITASK_PROMPT_TUNING":
        return (
            "peft puts its prompt before the decoder's text in training, but not in decoding",
            "train it with num_transformer_submodules=1",
        )
    return None


def _tasks(config: PeftConfig) -> int:
    """How many tasks the adapter has a part for; 0 where its type knows no tasks."""
    return {"MULTITASK_PROMPT_TUNING": getattr(config, "num_tasks", 1), "POLY": getattr(config, "n_tasks", 1)}.get(
        config.peft_type, 0
    )


def _undecided(checkpoint: Checkpoint, config: PeftConfig) -> tuple[str, str] | None:
    count, chosen = _tasks(config), checkpoint.adapter_task
    if chosen is None:
        return (
            (f"was trained on {count} tasks, and none was chosen", f"{checkpoint.path}#0 to #{count - 1}")
            if count > 1
            else None
        )
    if count == 0:
        return f"task #{chosen} asked for, but it knows no tasks", f"give {checkpoint.path}"
    if not 0 <= chosen < count:
        return f"task #{chosen} asked for, but it was trained on {count}", f"{checkpoint.path}#0 to #{count - 1}"
    return None


# ---- accounts --------------------------------------------------------------------------------------------------------


def layout(checkpoint: Checkpoint, empty: PreTrainedModel) -> Layout:
    """What the base, given without data (meta device), expects of this adapter. Raises ModelError where the file does
    not hold exactly that.

    Types that compute with the base's values to be built at all are accounted for as strictly, but when they are
    loaded.
    """
    config, notices = _config(checkpoint, architecture(empty))
    if TYPES[checkpoint.adapter].computes or getattr(config, "layer_replication", None):
        late = f"{checkpoint.name}: whether each tensor fits shows when it is loaded (peft cannot build this adapter without its base's values)"
        return Layout((), (*notices, late))
    config = _plain(config)
    found = {name: facts.shape for name, facts in files.tensors(checkpoint.path / files.ADAPTER).items()}
    wrapped = _wrapped(checkpoint, config, empty)
    expected = _shapes(_held(wrapped))
    under = _shapes(wrapped.state_dict())
    replaced = tuple(sorted(name for name in found if name not in expected and name in under))
    _compare(checkpoint, found, {**expected, **{name: under[name] for name in replaced}})
    if TYPES[checkpoint.adapter].acts == "embeddings":
        _width(checkpoint, config, empty)
    if getattr(config, "bias", "none") != "none":
        notices += (f"{checkpoint.name}: the adapter also trains biases of its base",)
    return Layout(replaced, notices)


def _plain(config: PeftConfig) -> PeftConfig:
    """Without a start from the base's values (PiSSA, OLoRA, …), which ends with tensors of the same names and
    shapes.
    """
    plain = copy.copy(config)
    for name in ("init_lora_weights", "init_weights"):
        if isinstance(getattr(config, name, None), str):
            setattr(plain, name, True)
    return plain


def _wrapped(checkpoint: Checkpoint, config: PeftConfig, model: PreTrainedModel) -> PeftModel:
    """peft's wrapper around the model, adapter layers inside, nothing loaded. What peft draws at random for them moves
    no other chance.
    """
    on_meta = next(model.parameters()).device.type == "meta"
    try:
        with quiet(), torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
            return kind(model, config, autocast_adapter_dtype=not on_meta, low_cpu_mem_usage=on_meta)
    except (*UNLOADABLE, AssertionError, IndexError) as error:
        raise ModelError(
            checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX
        ) from None


def _held(wrapped: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors in the model, by their names in its file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model_state_dict(wrapped, save_embedding_layers=False)


def _shapes(tensors: dict[str, torch.Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _compare(checkpoint: Checkpoint, found: Shapes, wanted: Shapes) -> None:
    wrong = [f"missing {names(wanted.keys() - found.keys())}"] if wanted.keys() - found.keys() else []
    wrong += [f"unexpected {names(found.keys() - wanted.keys())}"] if found.keys() - wanted.keys() else []
    differ = sorted(name for name in found.keys() & wanted.keys() if found[name] != wanted[name])
    wrong += [f"wrong shape {name}: {found[name]} where {wanted[name]} belongs" for name in differ[:5]]
    if wrong:
        raise ModelError(
            checkpoint.path, f"the adapter does not fit its base {checkpoint.base}: {'; '.join(wrong)}", FIX
        )


def _width(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> None:
    hidden = base.get_input_embeddings().weight.shape[1]
    if config.token_dim != hidden:
        raise ModelError(
            checkpoint.path, f"its virtual tokens have {config.token_dim} values, its base's embeddings {hidden}", FIX
        )


def architecture(model: PreTrainedModel) -> Architecture:
    """Of a model in memory."""
    return Architecture.SEQ2SEQ if model.config.is_encoder_decoder else Architecture.CAUSAL


# ---- onto the model --------------------------------------------------------------------------------------------------


def attach(checkpoint: Checkpoint, base: PreTrainedModel) -> Put:
    """A twin of the base with the adapter's layers in it, unmerged, in eval mode, or the base with what stands before
    every text.

    The base stays as it is. Adapter matrices stay float32 on a base of fewer bits where peft has it so (LoRA and most
    others). Raises ModelError unless each tensor of the file is in the model afterwards, and no tensor of the adapter
    comes from elsewhere.
    """
    if checkpoint.adapter == PLACEBO:
        return _placebo(base)
    config, _ = _config(checkpoint, architecture(base))
    # torch's default, which it warns about (FRoD) unless it is said
    torch.sparse.check_sparse_tensor_invariants.disable()
    stored = load_file(checkpoint.path / files.ADAPTER)
    wrapped = _wrapped(checkpoint, config, _twin(checkpoint, config, base))
    own(wrapped, set(stored))  # tensors of the base that the file replaces
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing is named below
            wrapped.load_adapter(
                str(checkpoint.path), "default", torch_device=str(base.device), autocast_adapter_dtype=True
            )
    except UNLOADABLE as error:
        raise ModelError(
            checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX
        ) from None
    _account(checkpoint, stored, wrapped)
    acts = TYPES[checkpoint.adapter].acts
    if acts == "layers":
        _choose(wrapped, checkpoint.adapter_task or 0)
        if getattr(base, "is_quantized", False):
            _try(checkpoint, wrapped.eval())
        return Put(wrapped.get_base_model().eval(), wrapped.eval())
    task = torch.tensor([checkpoint.adapter_task or 0], device=base.device) if _tasks(config) else None
    with torch.no_grad():
        prompt = wrapped.get_prompt(1, task_ids=task)
    if acts == "cache":
        return Put(base, lead=VirtualPrefix(cache=_cache(checkpoint, prompt, base)))
    _width(checkpoint, config, base)
    return Put(base, lead=VirtualPrefix(prompt[0, : config.num_virtual_tokens].detach().to(base.device, base.dtype)))


def _twin(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> PreTrainedModel:
    """A twin whose weights peft may write into as it puts its layers in: a LoRA that starts from the base's values
    takes them out of the base.
    """
    fresh = twin(base)
    if isinstance(getattr(config, "init_lora_weights", None), str):
        tried = _wrapped(checkpoint, _plain(config), twin(base)).get_base_model()
        layers = [name for name, module in tried.named_modules() if isinstance(module, BaseTunerLayer)]
        own(fresh, {name for name, _ in fresh.named_parameters() if name.rpartition(".")[0] in layers})
    return fresh


def _account(checkpoint: Checkpoint, stored: dict[str, torch.Tensor], wrapped: PeftModel) -> None:
    """Raises ModelError unless the model holds what the file holds."""
    held = _held(wrapped)
    held = {**{name: tensor for name, tensor in wrapped.state_dict().items() if name in stored}, **held}
    _compare(checkpoint, _shapes(stored), _shapes(held))
    lost = [name for name, tensor in stored.items() if not torch.equal(tensor.to(held[name].dtype), held[name].cpu())]
    if lost:
        raise ModelError(checkpoint.path, f"peft did not load {names(lost)}", FIX)


def _cache(
    checkpoint: Checkpoint, prompt: Cache, base: PreTrainedModel
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Keys and values of every layer, each (heads, virtual tokens, head size), in the base's dtype."""
    own_attention = prompt.self_attention_cache if isinstance(prompt, EncoderDecoderCache) else prompt
    layers = [(layer.keys, layer.values) for layer in own_attention.layers if getattr(layer, "keys", None) is not None]
    wanted = getattr(base.config.get_text_config(decoder=True), "num_hidden_layers", len(layers))
    if len(layers) != wanted:
        raise ModelError(checkpoint.path, f"its prefix is for {len(layers)} layers, its base has {wanted}", FIX)
    return tuple((keys[0].detach().to(base.dtype), values[0].detach().to(base.dtype)) for keys, values in layers)


def _choose(wrapped: PeftModel, task: int) -> None:
    """Poly's layers mix their skills by the task, which peft takes from each call: here it is one for good."""

    def with_task(
        _: nn.Module, given: tuple[torch.Tensor, ...], options: dict[str, object]
    ) -> tuple[tuple[torch.Tensor, ...], dict[str, object]]:
        return given, {**options, "task_ids": torch.full((len(given[0]),), task, device=given[0].device)}

    for module in wrapped.modules():
        if isinstance(module, PolyLayer):
            module.register_forward_pre_hook(with_task, with_kwargs=True)


def _try(checkpoint: Checkpoint, wrapped: PeftModel) -> None:
    """Ask once: few types know quantised weights, and peft says so only when it is asked. Raises ModelError with what
    it says.
    """
    model, ids = wrapped.get_base_model(), torch.zeros(1, 2, dtype=torch.long, device=wrapped.device)
    given = {"input_ids": ids, "decoder_input_ids": ids} if model.config.is_encoder_decoder else {"input_ids": ids}
    try:
        with torch.no_grad():
            model(**given)
    except UNLOADABLE as error:
        what = f"peft's {checkpoint.adapter} does not work on a base in {checkpoint.precision} and {model.dtype} ({first_line(error)})"
        raise ModelError(
            checkpoint.path, what, "give the base without quantisation (--precision), or --dtype float32"
        ) from None


def _placebo(base: PreTrainedModel) -> Put:
    """A twin with a LoRA as it is before training, which adds zero to every linear layer."""
    with quiet(), torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=8, target_modules="all-linear", task_type=TASKS[architecture(base)])
        wrapped = get_peft_model(twin(base), config)
    return Put(wrapped.get_base_model().eval(), wrapped.eval())
