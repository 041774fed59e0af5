"""Talk with servers that speak OpenAI's HTTP dialect: addresses (location.py), requests (client.py) and their pace; who
answers there (served_model.py, probes.py).
"""

REGISTRY = {
    "offered": "evalharness.openai_api.served_model:offered",
    "parent_of": "evalharness.openai_api.served_model:parent_of",
    "look_at": "evalharness.openai_api.served_model:look_at",
}
