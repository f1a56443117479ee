"""Tests that run over whatever is registered: a new class is tested without a new test."""
