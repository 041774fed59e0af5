"""Turn measurements, of runs here or of other tools, into Results: comparisons, verdicts, diagnoses and the gate."""
