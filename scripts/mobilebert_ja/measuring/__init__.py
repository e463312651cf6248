"""Times, scores and comparisons, contenders in turn; timings/ and scores/ have a module per name of `measure.py`.

May import: compression and below, and road, which starts other scripts.
"""
