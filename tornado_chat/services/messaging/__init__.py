"""Messages and notifications: the way from the sender to the database and to the reader."""
