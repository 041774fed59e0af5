"""Add an engine that shouts, a metric of loudness, a reader and a task to evalharness (pyproject.toml names them)."""
