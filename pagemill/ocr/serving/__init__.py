"""Serving, without a web framework: pages of concurrent requests share model instances, processes of their own."""
