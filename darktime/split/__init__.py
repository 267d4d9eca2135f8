"""The splitter: mirrors a percentage of production's users to a dark instance, accounts for, compares and judges."""
