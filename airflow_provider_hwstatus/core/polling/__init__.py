"""Polling the status of jobs, and waiting until they end."""
