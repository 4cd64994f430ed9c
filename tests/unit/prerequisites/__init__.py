"""What is looked up before a run."""
