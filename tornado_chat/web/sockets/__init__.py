"""The WebSocket endpoints of both dialects."""
