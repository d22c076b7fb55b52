"""Delivery of committed messages and events to the sockets of this process."""
