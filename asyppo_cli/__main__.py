"""``python -P -m asyppo_cli`` is the same as ``asyppo`` (-P keeps the current folder out of the import path)."""

from asyppo_cli.app import main

if __name__ == "__main__":
    main()
