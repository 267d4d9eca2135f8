"""What a split would do, told from an access log before anything runs. Pure: lines in, a plan out."""
