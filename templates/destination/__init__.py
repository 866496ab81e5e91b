"""Acme: one contact per person, matched by email address. The vendor's facts are cited where they are used."""
