"""Checkpoints as files: digests, earlier ones that are kept, the newest intact one."""
