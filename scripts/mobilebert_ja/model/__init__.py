"""MobileBERT's and IB-BERT's structures, their sizes, and model folders.

May import: inference and below; not training.
"""
