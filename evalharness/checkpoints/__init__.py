"""Recognise, fingerprint, verify and load checkpoints. `REGISTRY` has the functions that need heavy libraries."""

REGISTRY = {
    "fetch": "evalharness.checkpoints.hub:fetch",
    "load": "evalharness.checkpoints.load:load",
    "verify": "evalharness.checkpoints.verify:verify",
    "attention": "evalharness.checkpoints.open_model:attention_of",
    "generation_config": "evalharness.checkpoints.generation_rules:generation_config",
    "generation_differences": "evalharness.checkpoints.generation_rules:differences",
    "rules": "evalharness.checkpoints.generation_rules:rules",
    "tokenizer": "evalharness.checkpoints.tokenizer:load_tokenizer",
    "tokenizer_facts": "evalharness.checkpoints.tokenizer_facts:facts_of",
    "tokenizer_differences": "evalharness.checkpoints.tokenizer:tokenizer_differences",
    "attach": "evalharness.checkpoints.attach:attach",
    "merged": "evalharness.checkpoints.merging:merged",
    "unmergeable": "evalharness.checkpoints.merging:unmergeable",
    "gguf_header": "evalharness.checkpoints.gguf_files:header",
    "gguf_nonfinite": "evalharness.checkpoints.gguf_files:nonfinite",
    "adapter_fit": "evalharness.checkpoints.adapter_fit:adapter_fit",
}
