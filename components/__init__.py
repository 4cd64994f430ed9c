"""Kubeflow components, one a file: each declares its ports and hands its work to the library."""
