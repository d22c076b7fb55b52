"""The use cases of both dialects, independent of HTTP and of WebSocket frames."""
