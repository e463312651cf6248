"""From raw text to clean sentences, on one machine or a cluster.

May import: common, settings and data. No torch, no transformers.
"""
