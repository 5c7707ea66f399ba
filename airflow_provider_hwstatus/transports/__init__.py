"""Running flows and sending requests, sync and async. No other code exists in two versions."""
