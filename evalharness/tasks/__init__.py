"""Read task definitions in YAML, and make examples and requests from them and their rows."""
