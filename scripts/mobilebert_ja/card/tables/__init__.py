"""The rows of the tables in the card and the report, a module for each kind of record.

May import: `card.names` and `card.values`, and what they may import.
"""
