"""From a pretrained model and a task to a model that answers: rows, heads, training, answers, baselines.

May import: tasks and pretraining and below.
"""
