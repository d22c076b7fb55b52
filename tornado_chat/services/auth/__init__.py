"""Authentication and authorization: the identity of a caller, and the rights of an identity."""
