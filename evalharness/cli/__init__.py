"""Define the command line, with one file for each command. Only this package reads argv and the environment."""

REGISTRY = {
    "run": "evalharness.cli.run:run_command",
    "train": "evalharness.cli.train:train_command",
    "sweep": "evalharness.cli.sweep:sweep_command",
    "repair": "evalharness.cli.repair:repair_command",
    "trace": "evalharness.cli.trace:trace_command",
    "bisect": "evalharness.cli.bisect:bisect_command",
    "plan": "evalharness.cli.plan:plan_command",
    "compare": "evalharness.cli.compare:compare_command",
    "gate": "evalharness.cli.gate:gate_command",
    "baseline": "evalharness.cli.baseline:baseline_command",
    "report": "evalharness.cli.report:report_command",
    "tasks": "evalharness.cli.tasks:tasks_command",
    "data": "evalharness.cli.data:data_command",
    "checkpoint": "evalharness.cli.checkpoint:checkpoint_command",
    "engine": "evalharness.cli.engine:engine_command",
    "store": "evalharness.cli.store:store_command",
    "config": "evalharness.cli.config:config_command",
    "doctor": "evalharness.cli.doctor:doctor_command",
    "demo": "evalharness.cli.demo:demo_command",
}
