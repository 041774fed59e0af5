"""Addresses of served models."""

from __future__ import annotations

import pytest

from evalharness.errors import ModelError
from evalharness.openai_api.location import parse_served, root_of


@pytest.mark.parametrize(
    ("text", "url", "model"),
    [
        ("http://host:8000/v1#adapter", "http://host:8000/v1", "adapter"),
        ("http://host:8000#adapter", "http://host:8000/v1", "adapter"),
        ("https://host/v1/#org/model-1B", "https://host/v1", "org/model-1B"),
        ("http://[::1]:8000/v1#m", "http://[::1]:8000/v1", "m"),
        ("https://host/openai/v1#a#b", "https://host/openai/v1", "a#b"),
    ],
)
def test_an_address_is_split(text: str, url: str, model: str) -> None:
    location = parse_served(text)
    assert (location.url, location.model) == (url, model)
    assert parse_served(location.text) == location


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://host:8000/v1", "http://host:8000/v1/models lists its models"),
        ("http://host:8000/v1#", "names no model"),
        ("http://#m", "is no address of a server"),
        ("http://ho st/v1#m", "is no address of a server"),
        ("http://host:99999/v1#m", "is no address"),
    ],
)
def test_what_names_no_server_or_no_model_is_refused(text: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        parse_served(text)


@pytest.mark.parametrize(
    "text", ["http://me:secret@host/v1#m", "http://host/v1?key=secret#m", "http://host/v1;key=secret#m"]
)
def test_secrets_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ModelError, match="EVALHARNESS_API_KEY") as caught:
        parse_served(text)
    assert "secret@" not in str(caught.value) and "key=" not in str(caught.value)


def test_the_address_above_the_api() -> None:
    assert root_of("http://host:8000/v1") == "http://host:8000"
    assert root_of("http://host/api") == "http://host/api"
