"""Plugins: what they are (``base``), where they are (``finding``), how they are called (``calling``)."""
