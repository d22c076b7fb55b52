"""From a committed message to the sockets of this process."""
