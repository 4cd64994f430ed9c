"""The text container of deck review, which reads what was seen. See docs/containers.md."""

from pagemill.reviews.container.process import main

if __name__ == "__main__":
    main("text")
