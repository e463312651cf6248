"""From text that nobody labelled to silver answers: teachers, what they agree on, and the file that keeps it.

May import: finetuning, tasks and below.
"""
