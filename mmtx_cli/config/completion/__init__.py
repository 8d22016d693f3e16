"""Command-line completion for bash, zsh and fish."""
