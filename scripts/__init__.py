"""The commands of Handsoff: `python -m scripts.<name> --help`."""
