"""Read other harnesses' logs and plain tables of scores as measurements, without running any model."""
