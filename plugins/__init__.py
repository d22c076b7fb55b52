"""The bundled plugins. Each is a folder with its own README."""
