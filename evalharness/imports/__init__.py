"""Read what other tools measured: lm-eval's logged samples and plain tables. No model is run."""
