"""The networks that predict temperatures, and what they read."""
