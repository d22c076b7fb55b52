"""HTTP and WebSocket handlers, the web pages, and the API documents."""
