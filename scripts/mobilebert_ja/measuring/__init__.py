"""Times, scores and comparisons, contenders in turn; a name of `measure.py` is a module of timings, serving or scores.

May import: compression and below; road starts other scripts.
"""
