"""What an answer without torch needs: sped-up folders, windows over long texts, decoding of tags.

May import: common and tokenization. No torch, no transformers.
"""
