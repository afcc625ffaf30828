"""Where models and texts come from: the package index and the hub."""
