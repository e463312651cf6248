"""The tasks that others published: livedoor's categories, named entities, and JGLUE's.

May import: what tasks may import, and of tasks `base` and `text_files`.
"""
