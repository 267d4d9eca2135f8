"""What a terminal shows of each kind of results that has a summary of its own."""
