"""Attio: one person per contact, matched by email address. The vendor's facts are cited where they are used."""
