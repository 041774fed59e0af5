"""Read the rules of greedy decoding from a checkpoint's or its base's generation config."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig
from transformers.generation import logits_process as processors

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import quiet
from evalharness.errors import ModelError, first_line
from evalharness.records.models import Checkpoint, RulesFrom

# always the model's own
SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# the keys that change greedy decoding, each with transformers' own check of its value; the checkpoint does not choose
# sampling, beams, limits and caches
RULES: Mapping[str, Callable[[Any], object]] = {
    "repetition_penalty": lambda value: processors.RepetitionPenaltyLogitsProcessor(value),
    "encoder_repetition_penalty": lambda value: processors.RepetitionPenaltyLogitsProcessor(value),
    "no_repeat_ngram_size": lambda value: processors.NoRepeatNGramLogitsProcessor(value),
    "encoder_no_repeat_ngram_size": lambda value: processors.NoRepeatNGramLogitsProcessor(value),
    "min_length": lambda value: processors.MinLengthLogitsProcessor(value, 0),
    "min_new_tokens": lambda value: processors.MinLengthLogitsProcessor(value, 0),
    "bad_words_ids": lambda value: processors.NoBadWordsLogitsProcessor(value, eos_token_id=None),
    "suppress_tokens": lambda value: list(value),
    "begin_suppress_tokens": lambda value: list(value),
    "forced_bos_token_id": lambda value: processors.ForcedBOSTokenLogitsProcessor(value),
    "forced_eos_token_id": lambda value: processors.ForcedEOSTokenLogitsProcessor(2, value),
    "exponential_decay_length_penalty": lambda value: processors.ExponentialDecayLengthPenalty(value, 0, 1),
    "sequence_bias": lambda value: processors.SequenceBiasLogitsProcessor(value),
    "stop_strings": lambda value: [text + "" for text in ([value] if isinstance(value, str) else value)],
}
NO_RULE = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty"), 1.0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), 0),
}
TOKENS = (  # keys whose values are tokens, or lists of such
    *SPECIAL,
    *("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id"),
    "sequence_bias",
)


def generation_config(checkpoint: Checkpoint, rules_from: RulesFrom) -> GenerationConfig:
    """Return the rules by which a checkpoint's answers are decoded, with its own special tokens. Raises ModelError
    naming file and key of a rule that is invalid.
    """
    special = _special(_read(checkpoint.weights))
    _check(checkpoint.weights, special)
    return GenerationConfig(**special, **rules(checkpoint, rules_from))


def rules(checkpoint: Checkpoint, rules_from: RulesFrom) -> dict[str, Any]:
    """Return the rules that change greedy decoding, by key. Raises ModelError as `generation_config` does."""
    if rules_from == "plain":
        return {}
    directory = checkpoint.base if rules_from == "base" and checkpoint.base is not None else checkpoint.weights
    own = stated(_read(directory))
    _check(directory, own)
    return own


def differences(checkpoint: Checkpoint) -> dict[str, tuple[Any, Any]]:
    """Return the differences of a checkpoint's generation config from its base's.

    They map a key to the base's value and the checkpoint's own; a value is None if the config has none.
    """
    if checkpoint.base is None or checkpoint.weights == checkpoint.base:
        return {}
    configs = _read(checkpoint.base), _read(checkpoint.weights)
    base, own = ({**_special(config), **stated(config)} for config in configs)
    return {key: (base.get(key), own.get(key)) for key in (*SPECIAL, *RULES) if base.get(key) != own.get(key)}


def _special(config: GenerationConfig) -> dict[str, Any]:
    return {key: getattr(config, key, None) for key in SPECIAL}


def stated(config: GenerationConfig) -> dict[str, Any]:
    """Return the rules of a config that change something, as JSON."""
    values = {key: getattr(config, key, None) for key in RULES}
    changing = {key: value for key, value in values.items() if value is not None and value != NO_RULE.get(key)}
    plain: dict[str, Any] = json.loads(json.dumps(changing, default=str))
    return plain


def _read(directory: Path) -> GenerationConfig:
    """Return the generation config as transformers reads it: from its file, else from config.json."""
    where = _where(directory)
    of_model: dict[str, Any] = {} if where.name == files.GENERATION_CONFIG else {"_from_model_config": True}
    try:
        with quiet():
            return GenerationConfig.from_pretrained(directory, where.name, local_files_only=True, **of_model)
    except Exception as error:  # values of wrong types may raise anything
        what = f"{_unreadable(where)}transformers cannot read it as a generation config ({first_line(error)})"
        raise ModelError(where, what, "mend it") from None


def _unreadable(path: Path) -> str:
    """Name the key whose value transformers cannot read."""
    for key, value in files.read_json(path).items():
        try:
            GenerationConfig(**{key: value})
        except Exception:  # as above
            return f"{key} is {_in_short(value)}: "
    return ""


def _check(directory: Path, values: Mapping[str, Any]) -> None:
    where, size = _where(directory), _vocabulary(directory)
    for key, value in values.items():
        fix = f"mend {key}" + ("" if key in SPECIAL else ", or decode without such rules: --generation-config plain")
        try:
            if key in RULES:
                RULES[key](value)
        except Exception as error:
            raise ModelError(
                where, f"{key} is {_in_short(value)}, which cannot be ({first_line(error)})", fix
            ) from None
        for token in _tokens([item[0] for item in value] if key == "sequence_bias" else value, key):
            least = -1 if key in SPECIAL else 0
            if isinstance(token, bool) or not isinstance(token, int) or not least <= token < size:
                what = f"{key} is {_in_short(value)}, and there are tokens from 0 to {size - 1}"
                raise ModelError(where, what, fix)


def _where(directory: Path) -> Path:
    path = directory / files.GENERATION_CONFIG
    return path if path.is_file() else directory / files.CONFIG


def _vocabulary(directory: Path) -> int:
    """Return the number of rows of the embedding matrix that config.json states."""
    config = files.read_json(directory / files.CONFIG)
    inner = config.get("text_config")
    size = config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    return size if isinstance(size, int) else 1 << 31


def _tokens(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tokens(item, key)
    elif value is not None and key in TOKENS:
        yield value


def _in_short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
