"""The one training loop, its checkpoints, its optimizers, and what it runs on.

May import: inference and below; not model.
"""
