"""Sans-IO protocol code: WebSocket frames and the two dialects."""
