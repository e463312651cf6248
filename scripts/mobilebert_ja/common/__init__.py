"""What every room uses: errors told in a sentence, atomic files, records, progress, processes.

May import: nothing of this package. No torch, no transformers.
"""
