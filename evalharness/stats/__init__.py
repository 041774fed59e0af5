"""Compute statistics on arrays, without tasks or models.

Terms of all files: Δ is candidate minus base, with the sign turned so that + is better. The margin is the largest
acceptable loss. p_forgotten tests H0: Δ ≥ −margin, and a small one shows that more was lost; p_retained tests H0: Δ ≤
−margin, and a small one shows that less was lost. A gate unit is a task or group that the gate judges. Skill is a score
minus chance.
"""
