"""Gatehouse on a laptop: a local AWS, the Lambda runtime around the real binaries, a demo and a bench."""
