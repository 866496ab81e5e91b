"""What is ours and crosses a topic: written by one process, read by others or later. The shapes are in `schemas`."""
