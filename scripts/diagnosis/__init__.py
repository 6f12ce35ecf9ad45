"""Reads what failed into a case, and judges it by the catalogue of scripts/causes/."""
