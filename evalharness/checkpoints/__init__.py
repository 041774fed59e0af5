"""Handle checkpoints as files: recognise, fingerprint, verify, load. `REGISTRY` are the pieces that need heavy
libraries.
"""

REGISTRY = {
    "fetch": "evalharness.checkpoints.hub:fetch",
    "load": "evalharness.checkpoints.load:load",
    "verify": "evalharness.checkpoints.verify:verify",
    "tokenizer_differences": "evalharness.checkpoints.tokenizer:tokenizer_differences",
    "attach": "evalharness.checkpoints.attach:attach",
    "merged": "evalharness.checkpoints.merging:merged",
    "unmergeable": "evalharness.checkpoints.merging:unmergeable",
    "gguf_header": "evalharness.checkpoints.gguf_files:header",
    "gguf_nonfinite": "evalharness.checkpoints.gguf_files:nonfinite",
    "adapter_fit": "evalharness.checkpoints.adapter_fit:adapter_fit",
}
