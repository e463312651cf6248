"""Packed shards, masking, masked language modelling, transfer from a teacher, and word vectors.

May import: training, model and below; not tasks.
"""
