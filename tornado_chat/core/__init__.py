"""Values that every layer shares: types, errors, events, close codes, texts, status values."""
