"""Third-party readers on each kind of dataset: ``tox -e readers`` prints the table."""
