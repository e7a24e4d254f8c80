"""The commands of the command line that are functions of their own."""
