"""Suffixes of table files with samples."""

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
