"""Read rows from files, published layouts and the hub.

`reader:` in a task's metadata names one of the functions that group rows.
"""

REGISTRY: dict[str, str] = {"hub": "evalharness.data.hub:HUB"}
READERS: dict[str, str] = {
    "references": "evalharness.data.grouping:references",
    "texts": "evalharness.data.grouping:texts",
}
