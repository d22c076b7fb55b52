"""HTTP and WebSocket handlers, the pages, and the descriptions of the API."""
