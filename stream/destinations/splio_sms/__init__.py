"""Splio Trigger SMS: a text for each event that a rule names. The vendor's facts are cited where they are used."""
