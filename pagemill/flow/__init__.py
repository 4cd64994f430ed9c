"""Pipelines of tasks that need one another, run on demand: their spec, their states, their queue."""
