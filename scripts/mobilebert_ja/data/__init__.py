"""Raw data: downloads, streams of text, the livedoor archive, the embedded sample.

May import: common. No torch, no transformers.
"""
