"""Measurements to comparisons with their verdicts."""
