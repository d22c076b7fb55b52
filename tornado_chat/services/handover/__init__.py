"""Hand-over of sessions and support conversations: to other agents, and back to the line of a group."""
