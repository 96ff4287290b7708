"""Verdicts: from numbers about units to words a user can act on."""
