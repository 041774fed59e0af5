"""Compute metrics: rows of sufficient statistics from predictions, and scores from sums of rows.

A row is a few numbers for each unit (an example, or several that count as one), so that a score can be computed again
for any part of the units. An opaque metric is one number for all predictions; it has no rows and no interval.
"""

from __future__ import annotations

from evalharness.records.tasks import OutputType

ROUGE = (*(f"rouge{order}" for order in range(1, 10)), "rougeL", "rougeLsum")  # as rouge-score names them
REGISTRY: dict[str, str] = {
    "acc": "evalharness.metrics.choice:acc",
    "acc_norm": "evalharness.metrics.choice:acc_norm",
    "acc_bytes": "evalharness.metrics.choice:acc_bytes",
    "acc_mutual_info": "evalharness.metrics.choice:acc_mutual_info",
    "multiple_choice_grade": "evalharness.metrics.choice:multiple_choice_grade",
    "brier_score": "evalharness.metrics.choice:brier_score",
    "ece": "evalharness.metrics.calibration:ece",
    "mcc": "evalharness.metrics.confusion:mcc",
    "f1": "evalharness.metrics.confusion:f1",
    "f1a": "evalharness.metrics.confusion:f1a",
    "em_all": "evalharness.metrics.units:em_all",
    "parity": "evalharness.metrics.units:parity",
    "pearson": "evalharness.metrics.correlation:pearson",
    "spearman": "evalharness.metrics.correlation:spearman",
    "bbq_bias": "evalharness.metrics.bias:bbq_bias",
    "selection_bias": "evalharness.metrics.selection:selection_bias",
    "em": "evalharness.metrics.answers:em",
    "token_f1": "evalharness.metrics.answers:token_f1",
    "exact_match": "evalharness.metrics.text:exact_match",
    "contains": "evalharness.metrics.text:contains",
    "instructions": "evalharness.metrics.instructions:instructions",
    "instructions_share": "evalharness.metrics.instructions:instructions_share",
    "answered": "evalharness.metrics.refusal:answered",
    "refused": "evalharness.metrics.refusal:refused",
    "answer_language": "evalharness.metrics.language:answer_language",
    "no_language": "evalharness.metrics.language:no_language",
    **dict.fromkeys(ROUGE, "evalharness.metrics.rouge:rouge"),
    "bleu": "evalharness.metrics.bleu:bleu",
    "chrf": "evalharness.metrics.translation:chrf",
    "chrf++": "evalharness.metrics.translation:chrf",
    "ter": "evalharness.metrics.translation:ter",
    "nist": "evalharness.metrics.nist:nist",
    "meteor": "evalharness.metrics.meteor:meteor",
    "cider": "evalharness.metrics.cider:cider",
    "unparsed": "evalharness.metrics.reading:unparsed",
    "empty": "evalharness.metrics.written:empty",
    "repetition": "evalharness.metrics.written:repetition",
    "length": "evalharness.metrics.written:length",
    "cut": "evalharness.metrics.written:cut",
    "toxicity": "evalharness.metrics.toxicity:toxicity",
    "toxic_share": "evalharness.metrics.toxicity:toxic_share",
    "perplexity": "evalharness.metrics.perplexity:perplexity",
    "word_perplexity": "evalharness.metrics.perplexity:word_perplexity",
    "byte_perplexity": "evalharness.metrics.perplexity:byte_perplexity",
    "bits_per_byte": "evalharness.metrics.perplexity:bits_per_byte",
    "evaluate": "evalharness.metrics.evaluate_module:evaluate_module",
}
LOWER_IS_BETTER = {  # our names, and other common names of such metrics
    *("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ppl", "loss", "nll", "cross_entropy"),
    *("ter", "wer", "cer", "mer", "brier", "brier_score", "ece", "mae", "mse", "rmse", "error", "error_rate"),
    *("toxicity", "toxic_share", "unparsed", "empty", "repetition", "cut", "bbq_bias"),
    "no_language",
}

WITH_OPTIONS = (  # metrics that read and check options; the others take none
    *(*ROUGE, "bleu", "chrf", "chrf++", "ter", "nist", "meteor", "exact_match", "mcc", "f1", "f1a", "ece", "evaluate"),
    *("multiple_choice_grade", "bbq_bias", "selection_bias", "answer_language", "no_language"),
    *("repetition", "length", "toxicity", "toxic_share"),
)
CHOOSE = (
    *("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "multiple_choice_grade", "brier_score", "ece", "mcc", "f1"),
    *("f1a", "em_all", "parity"),
)
TOXICITY = ("toxicity", "toxic_share")  # of written texts, by a classifier
# metrics that test a text for something; `tasks explain` shows the results
OBSERVED = ("instructions", "instructions_share", "answered", "refused", "answer_language", "no_language", "contains")
TEXTS = ("empty", "repetition", "length", "cut")  # of written texts, before any filter
WRITE = (
    *(*ROUGE, "bleu", "chrf", "chrf++", "ter", "nist", "meteor", "cider", "unparsed"),
    *TEXTS,
    *TOXICITY,
    *OBSERVED,
)
EITHER = ("exact_match", "em", "token_f1")
READS: dict[OutputType, tuple[str, ...]] = {  # the metrics that can read an output type's answers
    OutputType.MULTIPLE_CHOICE: (*CHOOSE, "pearson", "spearman", "bbq_bias", "selection_bias", *EITHER),
    OutputType.GENERATE_UNTIL: (*WRITE, *EITHER),
    OutputType.LOGLIKELIHOOD: ("acc", "acc_norm", "acc_bytes", "exact_match", "perplexity"),
    OutputType.LOGLIKELIHOOD_ROLLING: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
}
