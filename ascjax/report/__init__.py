"""Pages, plots and plain-text tables of finished runs."""
