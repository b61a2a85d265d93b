"""How good a model is, ours or not: against labels, against people, and against another model."""
