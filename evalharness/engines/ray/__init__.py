"""Answer with engines of another kind in Ray's workers: of this machine, or of a cluster. `REGISTRY` are the pieces
that need Ray, or a worker's torch.
"""

REGISTRY = {"pool": "evalharness.engines.ray.pool:WorkerPool", "threads": "torch:set_num_threads"}
