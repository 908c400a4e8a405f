"""NumPy's functions by theme; `pytest_graphmode.backends.namespace` puts them together for one backend."""
