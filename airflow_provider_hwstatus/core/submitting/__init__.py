"""Submit a job once, find it again, and cancel it."""
