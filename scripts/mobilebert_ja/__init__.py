"""The parts of the road from raw Japanese text to a fast MobileBERT. Entry points stand one folder above."""
