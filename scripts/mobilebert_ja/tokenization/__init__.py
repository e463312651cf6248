"""MeCab words, WordPiece tokens with their offsets, and training a vocabulary.

May import: common, settings and data.
"""
