"""The plugin system: base class, hooks, discovery, and the calls of hooks (``manager``, ``runner``)."""
