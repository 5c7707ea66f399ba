"""Which ends of jobs are new."""
