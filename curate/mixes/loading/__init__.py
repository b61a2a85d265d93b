"""A published mix into training: order, decoding in workers, batches, and exports for other loaders."""
