"""The shared vocabulary: queries, rows, targets, results, errors. Depends on numpy alone."""
