"""The WebSocket connection below a Tornado handler: handshake, reading, writing."""
