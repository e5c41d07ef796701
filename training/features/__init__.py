"""The built-in CLIP: pictures and sentences of the small world in one space."""
