"""What others measured to measurements of ours: lm-eval's logged samples, plain tables. Read without running a
model.
"""
