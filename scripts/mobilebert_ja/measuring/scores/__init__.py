"""How good things are, and what changes that: one module per measurement of `measure.py`.

May import: measuring's own modules, and what they may import.
"""
