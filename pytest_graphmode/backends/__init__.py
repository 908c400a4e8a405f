"""One package or module a framework; importing this one imports none of them."""
