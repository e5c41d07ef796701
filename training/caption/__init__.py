"""The built-in BLIP-2: says in a sentence what a picture of the small world shows."""
