"""Messages between processes: the bus, the Redis link, leader election, presence facts, RPC."""
