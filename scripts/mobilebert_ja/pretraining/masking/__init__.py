"""Which words of a row are hidden: any, or those that are still hard to predict.

May import: what pretraining may import.
"""
