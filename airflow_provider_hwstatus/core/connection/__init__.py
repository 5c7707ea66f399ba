"""One connection: settings, endpoints, authentication and signing."""
