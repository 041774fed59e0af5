"""Statistics on arrays, without tasks or models."""
