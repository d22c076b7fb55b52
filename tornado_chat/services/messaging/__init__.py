"""Messages and notifications from the sender to the database and to the reader."""
