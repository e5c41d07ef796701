"""The built-in model that answers questions about documents: a small LayoutLMv3, trained on the page world."""
