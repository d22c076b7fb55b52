"""The plugins that come with the server. Each is a folder with its own README."""
