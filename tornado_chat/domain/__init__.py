"""Pure rules without I/O: room states, the queue and its policies, receipts, rate limits."""
