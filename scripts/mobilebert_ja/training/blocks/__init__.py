"""MobileBERT's blocks as a CPU trains them: the same parameters, with fewer passes over the activations in bf16.

May import: nothing of these scripts.
"""
