"""Engines train a group of replicas: same interface, different speed."""
