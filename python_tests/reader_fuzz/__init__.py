"""Mutation fuzzers of what reads files."""
