"""Answer with another engine in Ray workers, on this machine or in a cluster.

`REGISTRY` names the functions that need Ray, or a worker's torch.
"""

REGISTRY = {"pool": "evalharness.engines.ray.pool:WorkerPool", "threads": "torch:set_num_threads"}
