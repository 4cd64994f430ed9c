"""The vision container of deck review, which looks at slides. See docs/containers.md."""

from pagemill.reviews.container.process import main

if __name__ == "__main__":
    main("vision")
