"""Test an engine's factory, and the optional capabilities of both: tokenizers, drafts, reuse of weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalharness import fingerprint
from evalharness.engines.base import (
    AdapterProbe,
    AnswersPlainly,
    AnswersWithDrafts,
    Engine,
    EngineFactory,
    GenerationConfigs,
    ModelTokenizers,
    WeightReuse,
)
from evalharness.errors import UsageError
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Generate
from evalharness.records.tokenizers import TokenSplitter
from evalharness.testing.contract_fixtures import ContractFixtures, ask, responses
from evalharness.testing.sample_requests import PROMPTS, UNICODE, generations, of_every_type

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
UNKNOWN = "an_option_that_no_engine_has"


class FactoryRules(ContractFixtures):
    """Tests of `EngineFactory`, and of the optional capabilities that it or its engine has."""

    def test_an_engine_is_as_it_was_described(
        self, engine: Engine, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings
    ) -> None:
        described = factory.describe(checkpoint, settings)
        assert factory.describe(checkpoint, settings).fingerprint == described.fingerprint, "described twice"
        here, there = engine.info.details, described.details
        assert engine.info.name == described.name
        assert engine.info.fingerprint == described.fingerprint, f"described {there}, opened {here}"
        ask(engine, of_every_type(self.answers)[:3])
        assert engine.info.fingerprint == described.fingerprint, "another one once it has answered"

    def test_nothing_is_loaded_to_describe_it(
        self, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings, tmp_path: Path
    ) -> None:
        files = () if checkpoint.endpoint else (checkpoint.path, checkpoint.base)  # a served model has none
        places = {place for place in files if place is not None and place.is_dir()}
        bare = {place: tmp_path / fingerprint.short(fingerprint.of_value(str(place))) for place in places}
        if not bare:
            pytest.skip("the checkpoint has no files")
        for place, copy in bare.items():
            shutil.copytree(place, copy, ignore=shutil.ignore_patterns(*WEIGHTS))
        path, base = checkpoint.path, checkpoint.base
        without = replace(checkpoint, path=bare.get(path, path), base=None if base is None else bare.get(base, base))
        described = factory.describe(without, settings)
        assert described.fingerprint == factory.describe(checkpoint, settings).fingerprint

    def test_an_unknown_option_is_refused(
        self, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings
    ) -> None:
        with pytest.raises(UsageError):
            factory.describe(checkpoint, replace(settings, options={**settings.options, UNKNOWN: "1"}))

    # ---- what may be there

    def test_tokenizers(self, factory: EngineFactory, checkpoint: Checkpoint) -> None:
        if not isinstance(factory, ModelTokenizers):
            pytest.skip("the factory has no tokenizers")
        count, again = factory.token_counter(checkpoint), factory.token_counter(checkpoint)
        if count is None or again is None:
            pytest.skip("the factory counts no tokens of this model")
        for text in (*PROMPTS, *UNICODE):
            assert count(text) == again(text) >= 1, text
            assert count(text) >= count(""), text
            if isinstance(count, TokenSplitter):
                ids = count.token_ids(text)
                assert count("") + len(ids) >= count(text) >= len(ids), f"{count(text)} tokens, {ids}"
        renderer = factory.chat_renderer(checkpoint)
        if renderer is not None:
            turns = [{"role": "user", "content": "Is snow white?"}]
            chat = renderer.render(turns, False)
            assert "Is snow white?" in chat and chat == renderer.render(turns, False)
            assert renderer.fingerprint == renderer.fingerprint and isinstance(renderer.takes_system, bool)

    def test_drafts_change_no_answer(self, engine: Engine) -> None:
        """Try right drafts, drafts that are wrong from some word on, and those of another request."""
        if not isinstance(engine, AnswersWithDrafts):
            pytest.skip("the engine takes no drafts")
        self.need(Generate)
        requests = generations()
        plain = responses(engine, requests)
        texts = [answer.text for answer in plain]
        wrong = [f"{text[: len(text) // 2]} nothing of the kind" for text in texts]
        for drafts in (texts, wrong, texts[::-1], ["" for _ in texts]):
            by_id = {request.id: draft for request, draft in zip(requests, drafts, strict=True)}
            answers = {answer.request_id: answer for answer in engine.answer_with_drafts(requests, by_id)}
            drafted = [answers[request.id] for request in requests]
            self.assert_near(plain, drafted, self.near(engine), "with drafts")

    def test_an_adapter_is_seen_in_logits_by_both_paths(self, engine: Engine, checkpoint: Checkpoint) -> None:
        if not isinstance(engine, AdapterProbe):
            pytest.skip("the engine cannot show what an adapter changes")
        prompts = PROMPTS[:3]
        score = engine.next_token_logits(prompts, adapter=True, path="score")
        decode = engine.next_token_logits(prompts, adapter=True, path="decode")
        without = engine.next_token_logits(prompts, adapter=False, path="score")
        assert score.shape == decode.shape == without.shape and len(score) == len(prompts)
        assert np.isfinite(score).all() and np.abs(score - decode).max() <= 10 * self.near(engine), "two paths differ"
        adapted = checkpoint.adapter not in ("", "PLACEBO")
        assert (np.abs(score - without).max() > 10 * self.near(engine)) == adapted, "with the adapter on, and off"

    def test_why_it_answers_plainly_is_a_text(self, engine: Engine) -> None:
        if not isinstance(engine, AnswersPlainly):
            pytest.skip("the engine has one path")
        ask(engine, of_every_type(self.answers))
        assert isinstance(engine.plain_because, str)

    def test_generation_configs_differ_in_pairs(self, factory: EngineFactory, checkpoint: Checkpoint) -> None:
        if not isinstance(factory, GenerationConfigs):
            pytest.skip("the factory reads no generation configs")
        differences = factory.generation_differences(checkpoint)
        assert isinstance(differences, Mapping) and all(len(pair) == 2 for pair in differences.values())

    def test_weights_are_handed_on(
        self, engine: Engine, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings
    ) -> None:
        """Check that an engine that replaces another answers like one that is opened anew."""
        if not isinstance(factory, WeightReuse):
            pytest.skip("the factory hands no weights on")
        requests = of_every_type(self.answers)
        before = ask(engine, requests)
        own = type(self)
        own._engine = None
        own._engine = factory.open_after(engine, checkpoint, settings)
        engine.close()
        self.assert_near(before, ask(own._engine, requests), self.near(own._engine), "on weights handed on")
