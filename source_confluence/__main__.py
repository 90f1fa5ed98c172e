"""Run the connector with `python -m source_confluence`."""

from source_confluence.run import main

main()
