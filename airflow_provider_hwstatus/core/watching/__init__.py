"""Which jobs have ended since the last poll."""
