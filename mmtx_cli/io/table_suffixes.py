"""Suffixes of files that hold a table of samples."""

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
