"""The shape of the compiled pipelines."""
