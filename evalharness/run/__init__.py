"""The way of a job: `run` tells the whole story on one page, the other files are its chapters."""

REGISTRY = {"evaluate": "evalharness.run.evaluation:evaluate"}
