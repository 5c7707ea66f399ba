"""The status of jobs, and the wait for their end."""
