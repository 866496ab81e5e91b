"""Kafka, behind plain words: the only package that imports a Kafka library. Knows nothing of events or vendors."""
