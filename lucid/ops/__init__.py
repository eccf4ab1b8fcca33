"""Every operation: one block each with its forward, gradient rule and documentation together."""
