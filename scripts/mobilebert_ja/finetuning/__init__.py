"""From a pretrained model and a task to a model that answers: rows, heads, training, answers, baselines.

May import: pretraining, tasks and below.
"""
