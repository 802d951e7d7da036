"""Learning: data sets, labels, splits, fitting and honest evaluation."""
