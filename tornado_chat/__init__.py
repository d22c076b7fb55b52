"""A self-hosted conversation server for counselling and support."""
