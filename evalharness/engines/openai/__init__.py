"""Answer by a server that speaks OpenAI's HTTP dialect: vLLM, SGLang, llama.cpp, `transformers serve` and others."""
