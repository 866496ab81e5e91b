"""crmstream: customer events from Kafka to CRM and messaging vendors, in order per contact, nothing lost."""

__version__ = "0.1.0"
