"""What runs: settings, registry, markers and variants of a run."""
