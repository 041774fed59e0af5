"""Turn measurements into results: comparisons with the base, verdicts, diagnoses and the gate's decision.

Measurements come from runs here or from other tools' logs. A gate unit is a task or group that the gate judges; the
suite is the mean over all gate units; a margin is the largest acceptable loss; a target is the task a candidate was
trained on.
"""
