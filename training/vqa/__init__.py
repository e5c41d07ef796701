"""The built-in ViLT: answers questions about pictures of the small world in a word."""
