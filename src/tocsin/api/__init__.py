"""api is HTTP and WebSocket, in and out: one service call a handler."""
