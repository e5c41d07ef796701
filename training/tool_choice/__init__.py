"""The adapter with which the embedded language model chooses tools."""
