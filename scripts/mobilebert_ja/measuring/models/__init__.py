"""The models that are timed beside each other: who they are, what each costs before its first answer, and all in turn.

May import: measuring's own modules but timings and scores, and what they may import.
"""
