"""Three small benchmarks in nemo-evaluator's form (bring your own): written, chosen, and graded answers."""

from nemo_evaluator.contrib.byob import ScorerInput, benchmark, scorer
from nemo_evaluator.contrib.byob.scorers import exact_match, f1_token, multiple_choice_acc


@benchmark(
    name="sums",
    dataset="sums.jsonl",
    prompt="What is {a} plus {b}? Answer with a number.",
    target_field="total",
    system_prompt="You are a calculator.",
)
@scorer
def sums(sample: ScorerInput) -> dict:
    return exact_match(sample)


@benchmark(
    name="parity",
    dataset="parity.jsonl",
    prompt="{number} is",
    target_field="label",
    endpoint_type="completions_logprob",
    choices_field="choices",
)
@scorer
def parity(sample: ScorerInput) -> dict:
    return multiple_choice_acc(sample)


@benchmark(name="words", dataset="words.jsonl", prompt="Say this again: {text}", target_field="text")
@scorer
def words(sample: ScorerInput) -> dict:
    return f1_token(sample)
