"""Completion of a command line in bash, zsh and fish: what may be written next."""
