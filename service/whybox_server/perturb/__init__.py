"""Ways to hide or change parts of an instance. Knows no model and no method."""
