"""Talk with servers that speak OpenAI's HTTP dialect: addresses (location.py), requests (client.py) and their pace."""
