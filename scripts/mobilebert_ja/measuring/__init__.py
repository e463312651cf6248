"""Times, scores and comparisons, contenders in turn.

May import: compression and below.
"""
