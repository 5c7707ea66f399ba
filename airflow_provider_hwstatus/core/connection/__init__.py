"""One connection: its settings, endpoints, login and signing."""
