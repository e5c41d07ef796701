"""The built-in OWLv2: finds the things of the small world by their names."""
