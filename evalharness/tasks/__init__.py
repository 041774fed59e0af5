"""Read task definitions in YAML, and make examples and requests of them and their rows."""
