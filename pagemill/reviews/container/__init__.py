"""A container: it has a model, carries out the tasks that are sent to it, and says to the backend that it lives."""
