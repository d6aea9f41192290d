"""Programs that measure: side by side in one run, medians, ratios. Nothing imports them."""
