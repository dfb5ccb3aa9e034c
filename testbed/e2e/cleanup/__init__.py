"""Cleanup on two real OpenStack control planes: one function a case, see __main__.py."""
