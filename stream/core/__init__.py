"""The pure core: decides, never waits. No clock, no I/O, no logger; `now` is an argument, in seconds."""
