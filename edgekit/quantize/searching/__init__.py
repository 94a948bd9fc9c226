"""Which nodes carry the loss, and which must stay in float."""
