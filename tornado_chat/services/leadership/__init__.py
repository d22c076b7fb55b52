"""Being the process that decides: terms, leases and grace timers."""
