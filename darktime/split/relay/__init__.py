"""The relay: takes copies, answers at once, forwards each once or names the reason, and pairs the two answers."""
