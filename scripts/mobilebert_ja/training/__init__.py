"""The one training loop, its checkpoints and its optimizers.

May import: inference and below.
"""
