"""MeCab words, WordPiece tokens with their offsets, and training a vocabulary.

May import: common; transformers for its tokenizer, where it is asked for. No torch.
"""
