"""The sample service that Handsoff releases. Replace this folder's code with your own; keep the app contract in README.md."""
