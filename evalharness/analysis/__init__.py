"""Make Results of measurements, whoever made them: what is compared, rows, verdicts, diagnoses, the gate."""
