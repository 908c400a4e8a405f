"""What `tox -m agree` runs in an environment a framework, with one folder of records between them."""
