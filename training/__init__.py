"""Makes what is in `models/`: `python -m training NAME`, where NAME is a package of this one."""
