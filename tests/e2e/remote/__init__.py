"""Pages read by a server elsewhere."""
