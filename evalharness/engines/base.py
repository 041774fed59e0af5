"""Define the protocols of engines and their factories, and the optional capabilities of both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalharness import registry
from evalharness.engines import OPTIONS, REGISTRY
from evalharness.errors import EvalHarnessError, NotComparableError, UsageError, did_you_mean, first_line, out_of_memory
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response
from evalharness.records.tokenizers import ChatRenderer, TokenCounter


class Engine(Protocol):
    """One opened model: what every engine must have. `info`: all settings that can change an answer. `answer` receives
    one block (in a run, at most 128 requests of one task) at a time and plans its own batches within it.
    """

    info: EngineInfo

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Yield one response or failure per request, in any order: a Ranking for a Rank, a Generation for a Generate, a
        Scoring for a Score, a Profiling for a Profile.

        A request that cannot be answered yields a Failure; only a dead engine raises. A text of a Score that is longer
        than the window is scored in disjoint pieces, each token once, the first after the prefix token (BOS, else EOS);
        one of no tokens is 0 nats over 0 tokens.
        """
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


@runtime_checkable
class AdapterProbe(Engine, Protocol):
    """An optional capability of an engine: logits with the adapter on and off, which prove that it is applied."""

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary), with the adapter or soft prompt on or off, by the code
        path that scores or decodes. Raises MemoryError if memory does not suffice for a single prompt.
        """
        ...


@runtime_checkable
class MergeProbe(Engine, Protocol):
    """An optional capability of an engine: logits with the adapter merged into the model's weights."""

    def merge_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the logits at the same positions of the texts, (positions, vocabulary), with the adapter beside the
        weights and merged into them. Raises Unmergeable.
        """
        ...


@runtime_checkable
class AnswersPlainly(Engine, Protocol):
    """An optional capability of an engine: it reports when it answers by its slower general path."""

    @property
    def plain_because(self) -> str:
        """Return the reason for the slower path, once the engine has answered; "" if it is not used."""
        ...


@runtime_checkable
class AnswersWithDrafts(Engine, Protocol):
    """An optional capability of an engine: another model's texts as drafts, which save time if its own are equal."""

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        """Answer as `answer` does, with the same answers up to ties within rounding. `drafts`: the id of a Generate
        request -> a text that may be its answer.
        """
        ...


@runtime_checkable
class WatchesWeights(Engine, Protocol):
    """An optional capability of an engine whose model others may replace, as on a server: it checks the weights."""

    def check_weights(self) -> None:
        """Raise NotComparableError if the model does not answer as it did when it was recognised."""
        ...


class Unmergeable(ValueError):
    """An adapter that cannot be merged into its model's weights; the message is the reason."""


@runtime_checkable
class EngineFactory(Protocol):
    """Opens engines of one kind: what every factory must have. `describe` loads no weights, so that a run whose answers
    are all stored loads none.
    """

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return the `info` that an engine opened with these arguments would have."""
        ...

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """Load the model. The engine opened before it is closed. Raises ModelError if it cannot be loaded whole."""
        ...


@runtime_checkable
class WeightReuse(Protocol):
    """An optional capability of a factory: weights that two models share stay in memory between them."""

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """Open the model as `open` does, and take over the weights of `previous` if the models share them. `previous`
        is still open; it answers no more and is closed afterwards.
        """
        ...


@runtime_checkable
class ConfiguredFactory(Protocol):
    """An optional capability of a factory: its abilities depend on the settings of a run."""

    def configured(self, settings: EngineSettings) -> EngineFactory:
        """Return a factory for a run with these settings. Raises UsageError for wrong settings."""
        ...


@runtime_checkable
class PartialAnswers(Protocol):
    """An optional capability of a factory: it reports which requests its models cannot answer, and the windows that the
    engine leaves them.
    """

    def unanswered(self, checkpoint: Checkpoint) -> Mapping[type[Request], str]:
        """Return the kinds of requests that this model cannot answer, with the reasons."""
        ...

    def window(self, checkpoint: Checkpoint) -> int | None:
        """Return the most tokens of a prompt and its answer for this model; None: no limit is known."""
        ...


@runtime_checkable
class ModelTokenizers(Protocol):
    """An optional capability of a factory: its models' tokenizers. Without it prompts are not cut to a window, tokens
    not counted, and chat templates not applied.
    """

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter | None:
        """Return the counter of this model's tokens; loads the tokenizer only. None if no tokenizer counts."""
        ...

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """Return this model's chat template, None if it has none. Loads the tokenizer only. Raises ModelError for a
        broken template.
        """
        ...


@runtime_checkable
class GenerationConfigs(Protocol):
    """An optional capability of a factory: it compares the generation configs of its models."""

    def generation_differences(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Any, Any]]:
        """Return the keys in which a checkpoint's generation config differs from its base's: key -> (the base's value,
        the checkpoint's), None for a missing value.
        """
        ...


def factory_of(settings: EngineSettings) -> EngineFactory:
    """Find the factory of the engine that the settings name, which may be of another package, for a run with these
    settings. Raises UsageError, and MissingPackageError if it needs an extra.
    """
    factory = registry.find(REGISTRY, settings.name, "engine")
    checked = checked_factory(factory, f"engine {settings.name}", "an entry point that names such an object")
    return checked.configured(settings) if isinstance(checked, ConfiguredFactory) else checked


def checked_factory(factory: object, where: str, right: str) -> EngineFactory:
    """Return the object if it is a factory; raise UsageError if it is none. `where` and `right` are words for the
    error.
    """
    if not isinstance(factory, EngineFactory):
        what = f"{type(factory).__name__} has no methods `describe` and `open`"
        raise UsageError(where, what, f"{right} would be right")
    return factory


@contextmanager
def errors_of(engine: str, step: str) -> Iterator[None]:
    """Turn an engine's exceptions into NotComparableErrors that name it; errors of evalharness pass unchanged."""
    try:
        yield
    except EvalHarnessError:
        raise
    except Exception as error:  # an engine of another package may raise anything
        what = f"{step} raised {type(error).__name__} ({first_line(error)})"
        mend = "give it more memory, or a smaller --dtype," if out_of_memory(error) else "mend it (--debug shows where)"
        fix = f"{mend} and run again: what was answered is kept"
        raise NotComparableError(f"engine {engine}", what, fix) from error


def known_options(settings: EngineSettings) -> Collection[str]:
    """Return the names of the options of the engine that the settings name, with those of its inner engine (its option
    `engine`). For an engine of another package every option counts as known.
    """
    own = OPTIONS.get(settings.name)
    if own is None:
        return settings.options
    if "engine" not in own:
        return own
    inner = OPTIONS.get(settings.options.get("engine", "hf"))
    return settings.options if inner is None else (*own, *inner)


def check_options(settings: EngineSettings, names: Collection[str]) -> None:
    """Check a factory's options in its `describe`. Raises UsageError for an option that the engine does not have."""
    for name in settings.options:
        if name not in names:
            fix = did_you_mean(name, names) if names else "leave it out: it has none"
            raise UsageError("--engine-option", f"the engine {settings.name} has no option {name!r}", fix)
