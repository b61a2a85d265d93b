"""The reference segmenter: trained from a published mix, beside a baseline that needs no training."""

ZERO_SHOT = "zero-shot"
"""The baseline's name where models are named: segments from similarities alone."""
