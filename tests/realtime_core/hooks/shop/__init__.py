"""A small Django site that tests run under real servers; its settings come from the environment."""
