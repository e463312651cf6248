"""How a task is put to a model: rows of tokens, the head, its loss, and what its outputs mean.

May import: what finetuning may import, and nothing beside it.
"""
