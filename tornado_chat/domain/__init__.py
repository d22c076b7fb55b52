"""Pure rules: room states, the queue and its policies, receipts, rate limits."""
