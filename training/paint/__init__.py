"""The built-in Stable Diffusion: paints the small world from words, after a picture, and inside a mask."""
