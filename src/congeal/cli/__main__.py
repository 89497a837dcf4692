"""``python -m congeal.cli``: the same as the command ``congeal``."""

from congeal.cli.app import main

if __name__ == "__main__":
    main()
