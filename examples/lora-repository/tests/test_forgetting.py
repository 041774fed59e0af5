"""What this repository asks of a run beside the gate: pytest --evalharness-run runs/gate"""


def test_it_still_knows_what_the_base_knew(evalharness_run):
    evalharness_run.assert_retained("mmlu", allow_undecided=True)


def test_it_may_ship(evalharness_run):
    evalharness_run.assert_may_ship()
