"""Merge checkpoints: adapters into their base or with one another, and full weights of one base."""

REGISTRY = {
    "merge": "evalharness.merging.merge:merge",
    "combine": "evalharness.merging.combine:combine",
    "into_base": "evalharness.merging.into_base:into_base",
    "part_way": "evalharness.merging.part_way:part_way",
    "task_vectors": "evalharness.merging.task_vectors:merge_weights",
}
