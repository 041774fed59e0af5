"""Files and hub data sets to rows. `reader:` in a task's metadata names a way of grouping rows."""

REGISTRY: dict[str, str] = {"hub": "evalharness.data.hub:HUB", "references": "evalharness.data.grouping:references"}
