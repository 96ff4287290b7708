"""Studies: initializers x seeds, trained, compared and kept."""
