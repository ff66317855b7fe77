"""The golden run: a small recorded market and the journal that the deciding code must make of it.

Rule: nothing here is written by hand; `python -m flowguardian.ops.golden.regenerate` makes all of it.
"""
