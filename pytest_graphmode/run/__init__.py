"""One test: its variants collected, executed and judged."""
