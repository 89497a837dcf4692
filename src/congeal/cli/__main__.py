"""``python -m congeal.cli``: the program where the command ``congeal`` is not on the path."""

from congeal.cli.app import main

if __name__ == "__main__":
    main()
