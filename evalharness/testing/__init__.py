"""Test the extensions of other packages: `engine_contract.EngineContract` for engines. Needs pytest."""
