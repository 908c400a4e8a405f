"""What the process that starts the workers of pytest-xdist does for tests with variants. Called by `plugin.py`."""
