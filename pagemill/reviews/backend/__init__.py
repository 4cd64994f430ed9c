"""The backend: it has the queue, sends tasks to containers, and answers who asks for decks to be reviewed."""
