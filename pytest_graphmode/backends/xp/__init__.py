"""`graphmode.xp`: the Array API standard's functions on a backend's tensors, with NumPy's values, shapes and dtypes."""
