"""The nouns: every value that passes from one stage to the next. Frozen dataclasses; no behaviour beyond what their
content implies.

Task ─rows→ Example ─prompt→ Request ─engine→ Response ─read out→ Prediction ─metric→ Measurement ─pair→ Comparison →
Results
"""

LATER = {"later": True}  # metadata of a field that files of earlier versions lack; its default stands for it there
