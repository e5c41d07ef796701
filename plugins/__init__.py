"""The abilities of Maru, one file each. A file here is found by being here; see README, "Add a plugin"."""
