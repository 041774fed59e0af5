"""Run one evaluation: measure a base and its candidates on the same questions, and compare their answers.

evaluation.py shows the stages in order, and each stage has a file of its own.
"""

REGISTRY = {
    "evaluate": "evalharness.run.evaluation:evaluate",
    "check_policy": "evalharness.run.policy_check:check_policy",
}
