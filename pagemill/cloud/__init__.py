"""Where pipelines run: compiled here, started on this machine or elsewhere."""
