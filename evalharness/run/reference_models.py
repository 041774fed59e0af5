"""Choose the precision at which base and candidates answer, and the models measured beside them (references)."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.checkpoints.derived import at_precision, placebo_of, unquantised_of
from evalharness.checkpoints.files import CONFIG, read_json
from evalharness.checkpoints.precision import ON_LOADING, QUANTISED
from evalharness.errors import ModelError, UsageError, did_you_mean
from evalharness.records.job import ModelSelection
from evalharness.records.models import Architecture, Checkpoint

NONE = "none"  # --precision none: quantise only where a checkpoint's own files do
WORDS: dict[Architecture, str] = {
    Architecture.CAUSAL: "a decoder-only model",
    Architecture.SEQ2SEQ: "an encoder-decoder model",
}


def check_architectures(base: Checkpoint, candidates: Sequence[Checkpoint]) -> None:
    """Check that candidates have the base's architecture. Raises ModelError."""
    for candidate in candidates:
        if candidate.architecture != base.architecture:
            what = (
                f"is {WORDS[candidate.architecture]}, its base {base.name} {WORDS[base.architecture]}: not comparable"
            )
            raise ModelError(candidate.path, what, "give the checkpoint that it was trained from with --base PATH")


def precision_of(selection: ModelSelection, candidates: Sequence[Checkpoint]) -> str:
    """Choose the one precision ("": not quantised) at which base and candidates answer: --precision, else the
    candidates' own.

    Raises UsageError if the candidates' own differ, and for --precision with a candidate on a server.
    """
    if selection.precision and (served := [each.name for each in candidates if each.endpoint]):
        what = f"{served[0]} is loaded by its server, which quantises it or not"
        raise UsageError("--precision", what, "leave it out")
    if (precision := selection.precision) == NONE:
        return ""
    if precision:
        if precision not in ON_LOADING:
            what = f"weights cannot be quantised to {precision!r}"
            raise UsageError("--precision", what, did_you_mean(precision, (*ON_LOADING, NONE)))
        if others := [c.name for c in candidates if _has_own_precision(c) and c.precision != precision]:
            what = f"the files of {', '.join(others)} hold weights that are quantised in another way than {precision}"
            raise UsageError("--precision", what, "leave it out, or give them a run of their own")
        return precision
    by_precision: dict[str, list[str]] = {}
    for candidate in candidates:
        by_precision.setdefault(candidate.precision, []).append(candidate.name)
    if len(by_precision) > 1:
        listed = "; ".join(
            f"{own or 'not quantised'}: {', '.join(names)}" for own, names in sorted(by_precision.items())
        )
        what = f"candidates of different precisions ({listed}), which no one base answers for"
        raise UsageError("run", what, "give one run for each, or --precision P to ask all of them at one")
    return next(iter(by_precision))


def at_one_precision(
    selection: ModelSelection, base: Checkpoint, candidates: Sequence[Checkpoint]
) -> tuple[Checkpoint, tuple[Checkpoint, ...]]:
    """Return base and candidates at one precision. Raises UsageError if that is impossible, unless `--precision none`
    accepts it.
    """
    precision = precision_of(selection, candidates)
    base = quantised(base, precision)
    if base.precision != precision and selection.precision != NONE:
        others = f"as well, otherwise ({precision})" if precision else "not"
        what = f"its files are quantised ({base.precision}), its candidates' are {others}"
        fix = f"give a --base like its candidates, or --precision {NONE} to compare them as they are"
        raise UsageError(base.name, what, fix)
    return base, tuple(quantised(candidate, precision) for candidate in candidates)


def quantised(checkpoint: Checkpoint, precision: str) -> Checkpoint:
    """Return the checkpoint at `precision`, or unchanged if its own files say how it is quantised."""
    if checkpoint.precision == precision or _has_own_precision(checkpoint):
        return checkpoint
    if precision not in ("", *ON_LOADING):
        what = f"cannot be quantised as its candidates' files are ({precision})"
        raise UsageError(
            checkpoint.name, what, f"give a --base that is, or --precision {NONE} to compare with the base as it is"
        )
    return at_precision(checkpoint, precision)


def _has_own_precision(checkpoint: Checkpoint) -> bool:
    """Return whether the checkpoint's own files say how it is quantised."""
    return bool(checkpoint.precision) and QUANTISED in read_json(checkpoint.weights / CONFIG)


def references_of(
    selection: ModelSelection, base: Checkpoint, candidates: Sequence[Checkpoint]
) -> tuple[Checkpoint, ...]:
    """List the references of a run, which are measured and not judged: the base without quantisation if it is
    quantised, and for `--placebo` the base through an adapter that changes nothing.

    Raises UsageError if a candidate has the name of a reference, and for a placebo on a server.
    """
    if selection.placebo and base.endpoint:
        raise UsageError("--placebo", f"no adapter can be put on {base.name}, which is on a server", "leave it out")
    references = [unquantised_of(base)] if base.precision and not _has_own_precision(base) else []
    references += [placebo_of(base)] if selection.placebo else []
    names = {base.name, *(candidate.name for candidate in candidates)}
    for reference in references:
        if reference.name in names:
            what = "is the name of what this run measures beside its candidates"
            raise UsageError(reference.name, what, "give the checkpoint another with --model NAME=PATH")
    return tuple(references)
