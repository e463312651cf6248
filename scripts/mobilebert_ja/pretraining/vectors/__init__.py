"""Vectors of tokens that training starts from or aims at: counted ones, and those of a larger encoder.

May import: `pretraining.shards`, and what pretraining may import.
"""
