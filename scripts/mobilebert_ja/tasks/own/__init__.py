"""A user's own files: texts with classes, texts with entities, and texts alone, read and checked line by line.

May import: what tasks may import, and of tasks all but `silver`.
"""
