"""Releases: what is built, packed, listed, checked and compared when a version of Gatehouse is made."""
