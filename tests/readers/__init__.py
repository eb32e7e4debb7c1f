"""The field's own readers, each asked about each kind of dataset: ``tox -e readers`` prints the table."""
