"""The demo's site with a page more, in JSON, and with one fault, if the environment says so: what a split has to find."""
