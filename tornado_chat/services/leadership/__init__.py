"""The duties of the coordinator: terms, leases and grace timers."""
