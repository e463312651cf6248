"""The one training loop, its checkpoints, its optimizers, what it runs on, and blocks for a CPU.

May import: inference and below; not model.
"""
