"""The running server's side of plugins: contexts and the event feed."""
