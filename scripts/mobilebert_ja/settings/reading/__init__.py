"""Where settings get their values from: the stages that a recipe has sections for, recipes, command lines.

May import: the settings beside it, and common. No torch, no transformers.
"""
