"""PDF inspection, rendering and text layers: everything that opens a PDF does so in a child process."""
