"""Answer with transformers on this machine, for decoder-only and encoder-decoder models and adapters on them."""
