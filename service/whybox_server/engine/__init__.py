"""Runs explanations: admits them, steps their methods, meters what they ask, and says what happened."""
