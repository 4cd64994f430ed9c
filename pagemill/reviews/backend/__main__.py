"""Runs the backend: `python -m pagemill.reviews.backend`."""

from pagemill.reviews.backend.process import main

raise SystemExit(main())
