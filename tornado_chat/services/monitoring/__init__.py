"""The status of the server for operators and monitoring systems."""
