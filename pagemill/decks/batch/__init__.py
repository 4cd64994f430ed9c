"""Many decks in one run: found at a source, each reviewed by tasks that hand on files, and reported together."""
