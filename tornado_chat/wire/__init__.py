"""Sans-IO protocol code: the WebSocket framing and the two dialects (counselling and support)."""
