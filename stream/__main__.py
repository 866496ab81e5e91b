"""`python -m stream` is `crmstream`."""

from stream.cli import main

main()
