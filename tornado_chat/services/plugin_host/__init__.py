"""What a running server offers plugins."""
