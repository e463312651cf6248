"""What every room uses: errors told in a sentence, atomic files, records, progress, the processor, the text of files.

May import: nothing of this package. No torch, no transformers.
"""
