"""Times, scores and comparisons, contenders in turn; timings/ and scores/ have a module per name of `measure.py`.

May import: compression and below; road starts other scripts.
"""
