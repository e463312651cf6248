"""Text as it comes: its bytes, its encodings, and NFKC.

May import: `common.errors`. No torch, no transformers.
"""
