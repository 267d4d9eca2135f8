"""The two command lines: the only code that prints and exits."""
