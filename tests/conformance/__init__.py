"""Recorded conversations with real servers, and the tools that replay them: see FORMAT.md."""
