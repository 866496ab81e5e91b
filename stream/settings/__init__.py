"""The configuration: one YAML file, read, checked as a whole, and described.

What each key may hold is `stream.settings.model` and, for each vendor, its own `settings.py`.
"""

from stream.settings.exposure import exposed
from stream.settings.loading import examine, load
from stream.settings.mappings import mapping_of
from stream.settings.model import Settings, topics_read
from stream.settings.schema import json_schema

__all__ = ["Settings", "examine", "exposed", "json_schema", "load", "mapping_of", "topics_read"]
