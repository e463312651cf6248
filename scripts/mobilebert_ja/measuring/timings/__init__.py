"""How fast things are, and what training would cost: one module per measurement of `measure.py`.

May import: measuring's own modules, and what they may import.
"""
