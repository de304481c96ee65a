"""Models embed the benchmarks' images once; the papers' protocols are then scored on the features alone."""
