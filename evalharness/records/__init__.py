"""Every value that passes from one stage to the next: frozen dataclasses without behaviour of their own.

Task ─rows→ Example ─prompt→ Request ─engine→ Response ─read out→ Prediction ─metric→ Measurement ─pair→ Comparison →
Results
"""

LATER = {"later": True}  # metadata of a field that files of earlier versions lack: they get its default
