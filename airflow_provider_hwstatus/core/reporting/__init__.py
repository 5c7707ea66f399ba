"""What users read: failure messages, progress, console links and the connection check."""
