"""Describe and open models behind servers; what a server can answer is tested once for each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalharness.checkpoints.fast_tokenizer import splitting_tokenizer
from evalharness.engines.hf.chat import template_of
from evalharness.engines.openai.checks import TEXTS as CHECKED
from evalharness.engines.openai.checks import check_new_text, check_tokenizer
from evalharness.engines.openai.engine import ServedEngine
from evalharness.engines.openai.options import ServerOptions, options_of
from evalharness.engines.openai.prompt_scores import count_in
from evalharness.engines.openai.scoring import ServedScorer
from evalharness.engines.openai.tokens import PromptSplitter, local_splitter, server_splitter
from evalharness.engines.openai.ways import TEXTS, Way, continue_texts, find_way, own_texts, own_tokens
from evalharness.engines.openai.writing import ServedWriter
from evalharness.errors import ModelError
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.location import parse_served
from evalharness.openai_api.replies import ApiFailure, safe_words
from evalharness.openai_api.served_model import COMPLETIONS, ProbeWatch, models_of, window_in
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Profile, Rank, Request, Score
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

ALGORITHM = 1  # raise it with any change that can change a score
NO_PROFILE = (
    "a server gives log-probabilities of its own likeliest tokens, not of those that another model finds likely"
)
NO_PIECES = "texts are cut into pieces of tokens, which the server does not take, or which are not known here"
NO_PREFIX = "the tokenizer has neither BOS nor EOS to stand before a text, as far as the server says"
IN_CHAT = "endpoint=chat is for written tasks only"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAbilities:
    """The abilities of one served model.

    `way`: how the server returns the scores of a prompt, or the reason why it cannot. `ids`: whether it takes prompts
    as token ids. `splitter`: splits texts into tokens as the model does, None if nothing here can. `software`: the
    server's name for itself. `window`: the most tokens of prompt and answer, None if it is not known.
    """

    way: Way | str
    ids: bool
    splitter: PromptSplitter | None
    software: str
    window: int | None

    @property
    def unanswered(self) -> dict[type[Request], str]:
        """Return the kinds of requests that get no answer, with the reasons."""
        if isinstance(self.way, str):
            return dict.fromkeys((Rank, Score, Profile), self.way)
        reasons: dict[type[Request], str] = {Profile: NO_PROFILE}
        if self.splitter is None or not self.way.ids:
            reasons[Score] = NO_PIECES
        elif self.splitter.adapter.prefix is None:
            reasons[Score] = NO_PREFIX
        return reasons


@dataclass(slots=True, kw_only=True)
class ServedFactory:
    """Opens ServedEngines. `options`: the run's options, once `configured` has read them; the defaults before."""

    options: ServerOptions = field(default_factory=ServerOptions)
    _abilities: dict[str, ServedAbilities] = field(default_factory=dict)

    def configured(self, settings: EngineSettings) -> ServedFactory:
        """Return a new factory for a run with these settings. Raises UsageError for a wrong option."""
        return ServedFactory(options=options_of(settings))

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return all that can change a score, as far as the server reports it. Raises UsageError for an option,
        ModelError if the server does not answer or has no such model.
        """
        options = options_of(settings)
        abilities, splitter = self._abilities_of(checkpoint), self._abilities_of(checkpoint).splitter
        details: dict[str, Any] = {
            "algorithm": ALGORITHM,
            "server": abilities.software,
            "endpoint": "chat" if options.chat else "completions",
            "logprobs": "none" if isinstance(abilities.way, str) else abilities.way.details,
            "prompts": "token ids" if abilities.ids else "texts",
            "tokenizer": splitter.fingerprint if splitter else "",
            "dtype": options.dtype or "not stated",
        }
        return EngineInfo(name="openai", details=details)

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ServedEngine:
        """Open the model with connections of its own. Raises as `describe` does."""
        info, abilities = self.describe(checkpoint, settings), self._abilities_of(checkpoint)
        model, api = parse_served(checkpoint.endpoint).model, self._client(checkpoint)
        splitter, window, chat = abilities.splitter, abilities.window, self.options.chat
        if splitter is not None and splitter.server is not None:
            splitter = server_splitter(api, model)
        writer = ServedWriter(api, model, splitter, ids=abilities.ids, chat=chat, window=window)
        way = abilities.way
        watch = None if checkpoint.probes is None else ProbeWatch(api, model, checkpoint.probes)
        scorer = ServedScorer(api, model, way, splitter, window) if isinstance(way, Way) else None
        return ServedEngine(info, api, writer, scorer, abilities.unanswered, watch)

    def unanswered(self, checkpoint: Checkpoint) -> Mapping[type[Request], str]:
        """Return the kinds of requests that this model cannot answer, with the reasons."""
        return self._abilities_of(checkpoint).unanswered

    def window(self, checkpoint: Checkpoint) -> int | None:
        """Return the most tokens of a prompt and its answer; None if the server does not say."""
        abilities = self._abilities_of(checkpoint)
        spare = abilities.way.new_tokens if isinstance(abilities.way, Way) else 0
        return None if abilities.window is None else abilities.window - spare

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter | None:
        """Return the counter of tokens, by the tokenizer's files or by the server; None if there is neither."""
        return self._abilities_of(checkpoint).splitter

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """Return the chat template in the directory of the option `tokenizer`. Raises ModelError without one."""
        directory = self.options.tokenizer
        if self.options.chat:
            fix = "leave out --apply-chat-template or endpoint=chat"
            raise ModelError(checkpoint.endpoint, "its server applies the template where endpoint=chat", fix)
        if directory is None:
            fix = "name a directory with its tokenizer (--engine-option tokenizer=DIR), or let the server apply it"
            raise ModelError(checkpoint.endpoint, "its chat template is not here", f"{fix} (endpoint=chat)")
        return template_of(directory, splitting_tokenizer(directory, None))

    def _client(self, checkpoint: Checkpoint) -> ApiClient:
        """Make a client that shares the run's budget with the others."""
        return ApiClient(parse_served(checkpoint.endpoint).url, limits=self.options.limits)

    def _abilities_of(self, checkpoint: Checkpoint) -> ServedAbilities:
        if not checkpoint.endpoint:
            fix = "write URL#MODEL, or answer it with --engine hf"
            raise ModelError(checkpoint.path, "is a checkpoint on this machine, not behind a server", fix)
        if checkpoint.endpoint not in self._abilities:
            with self._client(checkpoint) as api:
                self._abilities[checkpoint.endpoint] = self._tested(api, checkpoint)
        return self._abilities[checkpoint.endpoint]

    def _tested(self, api: ApiClient, checkpoint: Checkpoint) -> ServedAbilities:
        model, options = parse_served(checkpoint.endpoint).model, self.options
        entry = models_of(api, model).get(model, {})
        splitter = local_splitter(options.tokenizer) if options.tokenizer else server_splitter(api, model)
        if splitter is not None and options.tokenizer:
            check_tokenizer(api, model, splitter, options.tokenizer)
        way: Way | str = IN_CHAT
        if not options.chat:
            way, texts = "", continue_texts(api, model)
            if splitter is not None:
                encode = splitter.adapter.encode
                way = find_way(api, model, list(map(encode, TEXTS)), own_tokens(texts, encode))
            if isinstance(way, str):
                way = find_way(api, model, list(TEXTS), own_texts(texts))
        ids = way.ids if isinstance(way, Way) else not options.chat and _takes_ids(api, model, splitter)
        as_ids = [splitter.adapter.encode(CHECKED[0])] if ids and splitter is not None else []
        check_new_text(api, model, [CHECKED[0], *as_ids], chat=options.chat)
        return ServedAbilities(
            way=way,
            ids=ids,
            splitter=splitter,
            software=_software(api, entry),
            window=options.window or checkpoint.window or window_in(entry),
        )


def _takes_ids(api: ApiClient, model: str, splitter: PromptSplitter | None) -> bool:
    """Return whether the server reads a prompt of token ids as such."""
    if splitter is None:
        return False
    ids = list(splitter.adapter.encode(TEXTS[0]))
    answer = api.try_post(COMPLETIONS, {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0})
    return not isinstance(answer, ApiFailure) and count_in(answer, "prompt_tokens") == len(ids)


def _software(api: ApiClient, entry: Mapping[str, Any]) -> str:
    """Return the name and version of the server's software, as far as it reports them."""
    try:
        version = api.get(f"{api.root}/version").get("version", "")
    except ModelError:
        version = ""
    words = (word for word in (entry.get("owned_by"), version) if isinstance(word, str) and word)
    return safe_words(" ".join(words)) or "not stated"


FACTORY = ServedFactory()
