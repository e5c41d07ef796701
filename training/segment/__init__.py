"""The built-in SAM: the outline of the thing at a point or in a box, in the small world."""
