"""Targets of deliveries, and what is delivered to them."""
