"""A small real Django site: threads and comments, whose saves and deletes go to the browsers that watch them."""
