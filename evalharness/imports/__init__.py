"""Read what other tools measured: the logs of other harnesses, and plain tables. No model is run."""
