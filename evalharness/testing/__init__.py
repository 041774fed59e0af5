"""Test pieces that other packages add to evalharness: `engine_contract.EngineContract` for engines. Needs pytest."""
