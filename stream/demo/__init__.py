"""The demo: the whole job with nothing installed, and the balance at the end."""

from stream.demo.show import Demo

__all__ = ["Demo"]
