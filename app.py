"""Starts Maru in the browser: `python app.py`, and the entry point of a Hugging Face Space."""
