"""A model behind a server is recognised by what it answers: wherever it answers, whenever, and by whatever name."""

from __future__ import annotations

from pathlib import Path

import pytest
from invented_models import Invented, inventing

from evalharness.checkpoints import memory
from evalharness.checkpoints.discover import base_of, directory_of
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import recognise, recognise_model
from evalharness.checkpoints.verified import verify_once
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import ModelKind


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "store.checked"


def identity(kept: Path, model: Invented, name: str = "m", **options: object) -> str:
    """The fingerprint that a run finds, of a server started for it."""
    with memory.remember_in(kept), inventing({name: model}, **options) as server:
        return recognise_model(server.address(name)).fingerprint


@pytest.mark.parametrize(
    ("text", "name", "location"),
    [
        ("http://host:8000/v1#m", "m", "http://host:8000/v1#m"),
        ("https://host#org/m:7b", "m:7b", "https://host/v1#org/m:7b"),
        ("base=http://[::1]:80/v1/#a=b#3", "base", "http://[::1]:80/v1#a=b#3"),
        ("=http://host/v1#m", "m", "http://host/v1#m"),
    ],
)
def test_an_address_is_no_path_and_no_hub_id(text: str, name: str, location: str) -> None:
    spec = parse(text)
    assert (spec.name_in(Path()), spec.location) == (name, location)
    assert spec.served is not None and not spec.on_hub and not spec.names_several and spec.task is None


def test_where_files_are_needed_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match="has no files, which are needed here") as refused:
        directory_of(parse("http://host/v1#m"))
    assert refused.value.exit_code == 2
    with pytest.raises(UsageError, match="has no files"):
        recognise("http://host/v1#m")


@pytest.mark.parametrize("address", ["http://host/v1", "http://host:8000", "http://host/v1#"])
def test_an_address_without_a_model(address: str) -> None:
    with pytest.raises(ModelError, match=r"names no model of this server; write http.*#MODEL"):
        parse(address)


def test_a_key_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ModelError, match="EVALHARNESS_API_KEY") as refused:
        parse("m=http://me:secret@host/v1#m")
    assert "secret" not in str(refused.value)


def test_what_a_server_says_of_a_model() -> None:
    models = {
        "base": Invented(entry={"max_model_len": 2048, "root": "/models/base", "parent": None}),
        "tuned": Invented(weights="tuned", entry={"max_model_len": None, "root": "/adapters/1", "parent": "base"}),
    }
    with inventing(models) as server:
        base = recognise_model(server.address("base"), role="base")
        tuned = recognise_model(f"mine={server.address('tuned')}")
        assert base_of(server.address("tuned")) == server.address("base") == base.endpoint == base.place
        assert base_of(server.address("base")) is None
    assert (base.name, base.kind, base.window, base.parameters) == ("base", ModelKind.BASE, 2048, None)
    assert (tuned.name, tuned.kind, tuned.window, tuned.bytes) == ("mine", ModelKind.SERVED, 2048, None)
    assert base.fingerprint != tuned.fingerprint and verify_once(tuned) == ()


def test_a_wrong_name_and_a_dead_server() -> None:
    with inventing({"llama": Invented()}) as server:
        with pytest.raises(ModelError, match="no such model; did you mean llama"):
            recognise_model(server.address("lama"))
        gone = server.address("llama")
    with pytest.raises(ModelError, match="no server answers here"):
        recognise_model(gone)


def test_the_same_weights_elsewhere_by_another_name_are_the_same_model(kept: Path) -> None:
    first = identity(kept, Invented(noise=1e-5))
    assert {identity(kept, Invented(noise=1e-5), f"name-{i}") for i in range(3)} == {first}


@pytest.mark.slow
def test_noise_that_a_server_shows_itself_makes_no_new_model(kept: Path) -> None:
    assert len({identity(kept, Invented(noise=0.01)) for _ in range(5)}) == 1


@pytest.mark.parametrize("other", [Invented(moved=1e-3), Invented(weights="other"), Invented(moved=-1e-3, noise=1e-5)])
def test_other_weights_are_another_model(kept: Path, other: Invented) -> None:
    assert identity(kept, Invented()) != identity(kept, other)


@pytest.mark.slow
def test_what_is_remembered_is_found_again_among_others(kept: Path) -> None:
    models = [Invented(moved=step * 1e-3) for step in range(4)]
    before = [identity(kept, model) for model in models]
    assert len({*before}) == 4 and before == [identity(kept, model) for model in models]


def test_without_noise_nothing_has_to_be_remembered(tmp_path: Path) -> None:
    assert identity(tmp_path / "one", Invented()) == identity(tmp_path / "other", Invented())


def test_another_window_or_tokenizer_is_another_model(kept: Path) -> None:
    by_window = {identity(kept, Invented(entry={"max_model_len": size})) for size in (64, 128)}
    assert len(by_window) == 2
    assert identity(kept, Invented(entry={"max_model_len": 64}), ways="completions") not in by_window


def recognised_notices(model: Invented, **options: object) -> tuple[str, ...]:
    with inventing({"m": model}, **options) as server:
        return verify_once(recognise_model(server.address("m")))


@pytest.mark.slow
def test_a_server_without_logprobs_tells_models_apart_by_texts_and_says_so(kept: Path) -> None:
    assert identity(kept, Invented(), logprobs=False) == identity(kept, Invented(moved=0.5), logprobs=False)
    assert identity(kept, Invented(), logprobs=False) != identity(kept, Invented(weights="other"), logprobs=False)
    (notice,) = recognised_notices(Invented(), logprobs=False)
    assert notice.startswith("m: its server gives no log-probabilities") and "64 short answers alone" in notice


def test_a_server_that_has_chats_only(kept: Path) -> None:
    assert identity(kept, Invented(), ways="chat/completions") != identity(
        kept, Invented(moved=1e-3), ways="chat/completions"
    )
    assert recognised_notices(Invented(), ways="chat/completions") == ()


class Mixed(Invented):
    """Another model gives so many of its answers, the first at the 70th."""

    other: Invented
    odd: int
    given = 0

    def answer(self, prompt: str, tokens: int) -> tuple[list[str], list[float]]:
        self.given += 1
        by = self.other if 70 <= self.given < 70 + self.odd else super()
        return by.answer(prompt, tokens)


def mixed(model: Invented, other: Invented, odd: int) -> Invented:
    model = Mixed(weights=model.weights, moved=model.moved)
    model.other, model.odd = other, odd
    return model


@pytest.mark.parametrize(("apart", "odd"), [(1e-3, 1), (0.05, 2), (0.5, 1)])
def test_a_reply_of_another_model_makes_it_not_that_model(kept: Path, apart: float, odd: int) -> None:
    before = identity(kept, Invented())
    new = identity(kept, mixed(Invented(moved=apart), Invented(), odd))
    assert new != before and new == identity(kept, Invented(moved=apart))


def test_two_models_behind_one_name_are_refused(kept: Path) -> None:
    with pytest.raises(ModelError, match=r"differ by 0\.5 nats: these are two models"):
        identity(kept, mixed(Invented(), Invented(moved=0.5), 5))


def test_much_noise_is_said() -> None:
    (notice,) = recognised_notices(Invented(noise=0.02))
    assert "its server's own noise is 0.0" in notice


def test_a_server_that_answers_by_chance_is_refused() -> None:
    with (
        inventing({"m": Invented(shaky=1)}) as server,
        pytest.raises(ModelError, match="asked twice at temperature 0, it gives other answers to 64 of 64"),
    ):
        recognise_model(server.address("m"))


def test_a_few_texts_that_change_are_left_out_where_texts_are_all(kept: Path) -> None:
    shaky = Invented(shaky=9)
    assert identity(kept, shaky, logprobs=False) == identity(kept, shaky, logprobs=False)
    (notice,) = recognised_notices(shaky, logprobs=False)
    assert "of which change from one time to the next" in notice


def test_no_key_is_written(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALHARNESS_API_KEY", "sk-secret")
    identity(kept, Invented())
    assert b"sk-secret" not in kept.read_bytes()
    monkeypatch.delenv("EVALHARNESS_API_KEY")


def test_where_logprobs_are_flat_they_are_no_evidence() -> None:
    class Flat(Invented):
        def answer(self, prompt: str, tokens: int) -> tuple[list[str], list[float]]:
            words, values = super().answer(prompt, tokens)
            return words, [0.0 for _ in values]

    with inventing({"m": Flat()}) as server:
        assert not recognise_model(server.address("m")).probes.with_logprobs
