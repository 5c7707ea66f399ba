"""What users read: failures, progress, links, the connection check."""
