"""Answer with a server of OpenAI's HTTP API: vLLM, SGLang, llama.cpp, `transformers serve` and others."""
