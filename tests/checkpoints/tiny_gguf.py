"""A tiny GGUF file, written by the gguf package from the zoo's llama."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize
from safetensors.torch import load_file


def write_gguf(source: Path, path: Path, kind: str = "F32", **changes: int) -> Path:
    """Write the llama in `source` as `path`, matrices in `kind`; `changes` replace keys of its config.json."""
    config = {**json.loads((source / "config.json").read_text()), **changes}
    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_freq_base(10000.0)
    _add_tokenizer(writer, json.loads((source / "tokenizer.json").read_text())["model"])
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, 2)
    for name, tensor in load_file(source / "model.safetensors").items():
        values = tensor.float().numpy()
        if heads := {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2]):
            shape = (config[heads], 2, len(values) // config[heads] // 2, values.shape[1])
            values = values.reshape(shape).swapaxes(1, 2).reshape(values.shape)  # ggml's order of rotated halves
        packed = kind != "F32" and values.ndim == 2 and values.shape[1] % 32 == 0
        dtype = GGMLQuantizationType[kind] if packed else None
        data = quantize(values, dtype) if dtype is not None else np.ascontiguousarray(values)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), data, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, model: dict) -> None:
    words = sorted(model["vocab"], key=model["vocab"].get)
    words[0] = "<|endoftext|>"  # which transformers adds where it is not there
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if index < 3 else 1 for index in range(len(words))])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
