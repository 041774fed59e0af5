"""Compute statistics on arrays, without tasks or models.

Terms of all files: a unit is what was drawn independently (a question, a passage). Its row holds the numbers from which
a score is made, as right answers and answers; the score is a function of the sum of all rows. Δ is candidate minus
base, with the sign turned so that + is better ("oriented"). The margin is the largest acceptable loss. p_forgotten
tests H0: Δ ≥ −margin, and a small one shows that more was lost; p_retained tests H0: Δ ≤ −margin, and a small one shows
that less was lost. A gate unit is a task or group that the gate judges. Skill is a score minus chance.
"""
