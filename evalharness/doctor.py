"""Examine the machine and the installation: versions, extras, devices, writable folders, the hub, memory."""

from __future__ import annotations

import importlib
import os
import platform
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from evalharness.errors import StoreError, first_line
from evalharness.paths import default_store, run_folder
from evalharness.registry import versions_of
from evalharness.run.checks import check_folder

PACKAGE = "evalharness"
ADDS = {  # what an extra adds, where we know it
    "hf": "run, train, sweep, trace, demo, data fetch, checkpoint show",
    "quant": "bases in 4 and 8 bits",
    "gguf": "GGUF files",
    "ray": "--engine ray: several GPUs, several machines",
    "nlg": "WordNet, for METEOR",
    "test": "the tests",
}
HUB, OFFLINE = "https://huggingface.co", ("1", "on", "yes", "true")
PATIENCE = 3.0  # seconds for the hub


class Condition(StrEnum):
    """The result of one examination in one word. Only a broken piece stops something that the installation promises."""

    FINE = "fine"
    ABSENT = "absent"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One thing that was examined, with the result. `area`, `name`: what it is. `words`: what is there and, if it is
    not fine, what would be right.
    """

    area: str
    name: str
    condition: Condition
    words: str


def examine(environ: Mapping[str, str], patience: float = PATIENCE) -> Iterator[Examination]:
    """Examine everything in turn. `environ`: the environment's variables; `patience`: seconds to wait for the hub."""
    yield _fine("system", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _fine("system", "memory", _memory())
    yield from packages()
    yield from devices()
    yield from _folders(environ)
    yield hub(environ, patience)


def _fine(area: str, name: str, words: str) -> Examination:
    return Examination(area=area, name=name, condition=Condition.FINE, words=words)


def _memory() -> str:
    pages = {name: os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES") if name in os.sysconf_names}
    size = {name: f"{count * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB" for name, count in pages.items()}
    free = f", {size['SC_AVPHYS_PAGES']} of them free" if "SC_AVPHYS_PAGES" in size else ""
    return f"{size.get('SC_PHYS_PAGES', 'not known')}{free}"


# ---- packages --------------------------------------------------------------------------------------------------------


def packages(
    version_of: Callable[[str], str] = metadata.version, stated: list[str] | None = None
) -> Iterator[Examination]:
    """Yield the packages that this one and its extras need, with the versions installed.

    `version_of`: returns a package's version. `stated`: the requirements; None: those of the installed package.
    """
    try:
        texts = (metadata.requires(PACKAGE) or []) if stated is None else stated
        every = [Requirement(text) for text in texts]
    except (metadata.PackageNotFoundError, InvalidRequirement) as error:
        words = f"what it needs is not known ({first_line(error)}); pip install evalharness, or make"
        yield Examination(area="packages", name=PACKAGE, condition=Condition.ABSENT, words=words)
        return
    extras = sorted({extra for each in every for extra in _extras_of(each)})
    needed = [each for each in every if each.marker is None or each.marker.evaluate({"extra": ""})]
    yield _of_packages("needed", needed, version_of, needed=True)
    for extra in extras:
        own = [each for each in every if each not in needed and each.marker and each.marker.evaluate({"extra": extra})]
        yield _of_packages(f"[{extra}]", [each for each in own if each.name != PACKAGE], version_of, needed=False)


def _extras_of(requirement: Requirement) -> list[str]:
    """Return the extras that a requirement's marker names."""
    text = str(requirement.marker or "")
    return text.split('"')[1::2] if "extra ==" in text else []


def _of_packages(
    name: str, requirements: list[Requirement], version_of: Callable[[str], str], needed: bool
) -> Examination:
    versions: dict[str, str] = {}
    for each in requirements:
        try:
            versions[each.name] = version_of(each.name)
        except metadata.PackageNotFoundError:
            continue
    missing = [each.name for each in requirements if each.name not in versions]
    wrong = [
        f"{each} is needed, {versions[each.name]} is there"
        for each in requirements
        if each.name in versions and not each.specifier.contains(versions[each.name], prereleases=True)
    ]
    fix = f"pip install '{PACKAGE}{'' if needed else name}'"
    there = ", ".join(f"{package} {version}" for package, version in versions.items())
    if missing and not needed:
        adds = f"would add {ADDS[name.strip('[]')]}; " if name.strip("[]") in ADDS else ""
        condition, words = Condition.ABSENT, f"{adds}not installed: {', '.join(missing)}; {fix}"
    elif missing or wrong:
        problems = [f"{', '.join(missing)} missing"] if missing else []
        problems += [text.split(" ; ")[0] for text in wrong]
        condition, words = Condition.BROKEN, f"{'; '.join(problems)}; {fix}"
    else:
        condition, words = Condition.FINE, there
    return Examination(area="packages", name=name, condition=condition, words=words)


# ---- devices ---------------------------------------------------------------------------------------------------------


def devices(load: Callable[[str], Any] = importlib.import_module) -> Iterator[Examination]:
    """Yield the devices of torch. It counts as broken if it is installed and cannot be imported."""
    version = versions_of(["torch"]).get("torch")
    if version is None:
        words = f"{os.cpu_count()} CPUs; torch, which [hf] brings, is not installed"
        yield Examination(area="devices", name="torch", condition=Condition.ABSENT, words=words)
        return
    try:
        torch = load("torch")
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
        threads = torch.get_num_threads()
    except Exception as error:  # a library built for another machine may raise anything
        words = f"torch {version} does not work ({type(error).__name__}: {first_line(error)}); install it again"
        yield Examination(area="devices", name="torch", condition=Condition.BROKEN, words=words)
        return
    yield _fine("devices", "cpu", f"{threads} threads of torch {version}, {os.cpu_count()} CPUs")
    for name, there, words in (("cuda", cuda, ", ".join(names)), ("mps", mps, "Apple's GPU")):
        if there:
            yield _fine("devices", name, words)
        else:
            yield Examination(area="devices", name=name, condition=Condition.ABSENT, words="torch sees none")


# ---- folders and the hub ---------------------------------------------------------------------------------------------


def _folders(environ: Mapping[str, str]) -> Iterator[Examination]:
    """Yield the default folders of answers and of runs, and whether they can be written."""
    places: tuple[tuple[str, str, Callable[[], Path]], ...] = (
        ("store", "name another file with --store", lambda: default_store(environ)),
        ("runs", "name another folder with --out", lambda: run_folder(None).parent / "store"),
    )
    for name, fix, place in places:
        try:
            path = place()
            check_folder(path.parent, fix)
            writable = path if name == "store" else path.parent.absolute()
            yield _fine("folders", name, f"{writable} can be written")
        except StoreError as error:
            yield Examination(area="folders", name=name, condition=Condition.ABSENT, words=str(error))


def hub(environ: Mapping[str, str], patience: float) -> Examination:
    """Examine whether the hub answers. Without it, models and data on disk still run."""
    endpoint = environ.get("HF_ENDPOINT") or HUB
    if environ.get("HF_HUB_OFFLINE", "").lower() in OFFLINE:
        return _hub(Condition.ABSENT, f"{endpoint} is not asked: HF_HUB_OFFLINE is set")
    answers: list[str] = []  # a reason why there is none, or ""

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=patience):
                answers.append("")
        except urllib.error.HTTPError:
            answers.append("")  # an error's status is an answer, too
        except (OSError, ValueError) as error:
            answers.append(first_line(getattr(error, "reason", error)))

    thread = threading.Thread(target=ask, daemon=True)  # the look-up of a host's name has no time-out
    thread.start()
    thread.join(patience + 0.5)
    why = answers[0] if answers else f"no answer within {patience:g} seconds"
    if not why:
        return _hub(Condition.FINE, f"{endpoint} answers")
    return _hub(Condition.ABSENT, f"{endpoint} is away ({why}); models and data on disk run without it")


def _hub(condition: Condition, words: str) -> Examination:
    return Examination(area="hub", name="hub", condition=condition, words=words)
