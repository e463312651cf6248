"""Fewer blocks and narrower feed-forwards: what is cut, how it learns to answer as before, how far the data allow it.

May import: finetuning and below.
"""
