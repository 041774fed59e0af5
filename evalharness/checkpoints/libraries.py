"""Call transformers, peft and safetensors quietly; UNLOADABLE lists what they raise for files that cannot be loaded."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import modeling_utils
from transformers.utils import logging

from evalharness.errors import some_of

UNLOADABLE = (  # what loading broken or foreign files raises
    *(OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError, IndexError),
    *(ArithmeticError, AssertionError, re.error, SafetensorError, StrictDataclassError),
)
SHOWN = 5


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress transformers' progress bars and load reports, and a deprecation notice of peft.

    What load reports say is raised as errors.
    """
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def read_into_memory() -> Iterator[None]:
    """Let transformers read weights into memory, tensor by tensor, instead of mapping their files: mapped weights
    change with the file. (`disable_mmap` also does so, but has every file in memory twice.)
    """

    def reading(path: str, framework: str = "pt", device: object = "cpu", **_: object) -> object:
        return safe_open(path, framework=framework, device=device, backend="pread")

    mapping = vars(modeling_utils)["safe_open"]
    vars(modeling_utils)["safe_open"] = reading
    try:
        yield
    finally:
        vars(modeling_utils)["safe_open"] = mapping


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Suppress what `quiet` suppresses, and every warning. The causes of warnings are checked afterwards."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def first_names(names: Iterable[str]) -> str:
    """Return the first few names in order, and the number of the others, as text."""
    return some_of(sorted(names), SHOWN)
