"""Send requests to servers of OpenAI's HTTP API (client.py), and identify their models (served_model.py).

A server's weights are identified by the model's answers to fixed prompts, the probes (probes.py).
"""

REGISTRY = {
    "offered": "evalharness.openai_api.served_model:offered",
    "parent_of": "evalharness.openai_api.served_model:parent_of",
    "look_at": "evalharness.openai_api.served_model:look_at",
}
