"""Deliberate bait: what a judge of meaning should not pay for."""
