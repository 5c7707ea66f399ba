"""Finding jobs that ended since the last poll."""
