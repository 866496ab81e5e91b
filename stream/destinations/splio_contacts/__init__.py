"""Splio contacts: one contact per person, through the Data API. The vendor's facts are cited where they are used."""
