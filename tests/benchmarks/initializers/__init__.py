"""What papers say of single initialisations, trained on a small machine."""
