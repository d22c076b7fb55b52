"""Operations on personal data: pruning of old data, export and erasure of a person."""
