"""State what an engine and its factory must have, and which capabilities either may have beside."""

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
    """One opened model, and all that an engine must have. `answer` is given one block of requests at a time and plans
    its own batches inside it.
    """

    info: EngineInfo

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request, in any order: a Ranking for a Rank, a Generation for a Generate, a
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
    """An optional capability of an engine: logits with the adapter on and off, by which it is proven that the adapter
    answers.
    """

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), adapter or soft prompt on or off, by the very code path that
        scores or decodes. Raises MemoryError where memory does not suffice for a prompt alone.
        """
        ...


@runtime_checkable
class MergeProbe(Engine, Protocol):
    """An optional capability of an engine: what merging an adapter into its model's weights moves."""

    def merge_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits at the same positions of the texts, (positions, vocabulary), of the model with its adapter and of the
        one with its adapter merged into its weights. Raises Unmergeable where it cannot be.
        """
        ...


@runtime_checkable
class AnswersPlainly(Engine, Protocol):
    """An optional capability of an engine: it says when it answers by a slower path that every model can take."""

    @property
    def plain_because(self) -> str:
        """The reason, once the engine has answered; "" where it answers by no such path."""
        ...


@runtime_checkable
class AnswersWithDrafts(Engine, Protocol):
    """An optional capability of an engine: another model's texts save it time where its own are the same."""

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        """As `answer`, and with the same answers up to ties within rounding. `drafts`: by the id of a Generate, a text
        that may be its answer.
        """
        ...


@runtime_checkable
class WatchesWeights(Engine, Protocol):
    """An optional capability of an engine whose model others may exchange, as one behind a server."""

    def check_weights(self) -> None:
        """Raises NotComparableError where the model does not answer as it did when it was recognised."""
        ...


class Unmergeable(ValueError):
    """An adapter that cannot be merged into its model's weights; the message is the reason."""


@runtime_checkable
class EngineFactory(Protocol):
    """Opens engines of one kind, and all that a factory must have. `describe` is cheap: it loads no weights, so that a
    run whose answers are all stored never does.
    """

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """What an engine opened with these arguments would report as its `info`."""
        ...

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """Load the model. The engine opened before is closed. Raises ModelError where it cannot be loaded
        completely.
        """
        ...


@runtime_checkable
class WeightReuse(Protocol):
    """An optional capability of a factory: weights that two models share stay in memory from one to the next."""

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """As `open`, in the place of `previous`, which is still open, answers no more, and is closed afterwards."""
        ...


@runtime_checkable
class ConfiguredFactory(Protocol):
    """An optional capability of a factory: what it can do depends on the settings of a run."""

    def configured(self, settings: EngineSettings) -> EngineFactory:
        """A factory for a run with these settings. Raises UsageError for settings that are wrong."""
        ...


@runtime_checkable
class PartialAnswers(Protocol):
    """An optional capability of a factory: it says which requests its models cannot answer, and what a window is left
    of where the engine takes some of it.
    """

    def unanswered(self, checkpoint: Checkpoint) -> Mapping[type[Request], str]:
        """Kinds of requests to which this model gives no answer, and why."""
        ...

    def window(self, checkpoint: Checkpoint) -> int | None:
        """Tokens of a prompt with its answer that this model takes; None: no limit is known."""
        ...


@runtime_checkable
class ModelTokenizers(Protocol):
    """An optional capability of a factory: its models' tokenizers. Without it prompts are not cut to a window, tokens
    not counted, and chat templates not applied.
    """

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter | None:
        """How many tokens a text has for this model; loads the tokenizer only. None where it has none that counts."""
        ...

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """How this model is spoken to; None where it has no chat template. Loads the tokenizer only. Raises ModelError
        for a broken template.
        """
        ...


@runtime_checkable
class GenerationConfigs(Protocol):
    """An optional capability of a factory: what its models' generation configs say of decoding."""

    def generation_differences(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Any, Any]]:
        """Keys in which a checkpoint's generation config differs from its base's: the base's value and its own, None
        where it has none.
        """
        ...


def factory_of(settings: EngineSettings) -> EngineFactory:
    """The factory of the engine that the settings name, ours or another package's, for a run with these settings.
    Raises UsageError, and MissingPackageError where it needs an extra.
    """
    factory = registry.find(REGISTRY, settings.name, "engine")
    checked = checked_factory(factory, f"engine {settings.name}", "an entry point that names such an object")
    return checked.configured(settings) if isinstance(checked, ConfiguredFactory) else checked


def checked_factory(factory: object, where: str, right: str) -> EngineFactory:
    """The factory, if it is one. Raises UsageError."""
    if not isinstance(factory, EngineFactory):
        what = f"{type(factory).__name__} has no methods `describe` and `open`"
        raise UsageError(where, what, f"{right} would be right")
    return factory


@contextmanager
def errors_of(engine: str, step: str) -> Iterator[None]:
    """Name the engine in whatever it raises. Raises NotComparableError for what is no error of evalharness."""
    try:
        yield
    except EvalHarnessError:
        raise
    except Exception as error:  # whatever somebody else's engine raises
        what = f"{step} raised {type(error).__name__} ({first_line(error)})"
        mend = "give it more memory, or a smaller --dtype," if out_of_memory(error) else "mend it (--debug shows where)"
        fix = f"{mend} and run again: what was answered is kept"
        raise NotComparableError(f"engine {engine}", what, fix) from error


def known_options(settings: EngineSettings) -> Collection[str]:
    """The options of the engine that the settings name, with those of the one that it has inside (its option `engine`);
    those that are given, where the engine is another package's.
    """
    own = OPTIONS.get(settings.name)
    if own is None:
        return settings.options
    if "engine" not in own:
        return own
    inner = OPTIONS.get(settings.options.get("engine", "hf"))
    return settings.options if inner is None else (*own, *inner)


def check_options(settings: EngineSettings, known: Collection[str]) -> None:
    """Raises UsageError for an option of the settings that the engine does not know. For a factory's `describe`."""
    for name in settings.options:
        if name not in known:
            fix = did_you_mean(name, known) if known else "leave it out: it has none"
            raise UsageError("--engine-option", f"the engine {settings.name} has no option {name!r}", fix)
