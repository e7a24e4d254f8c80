"""`python -m thermometer` is the `thermometer` command."""

from thermometer.cli import main

if __name__ == "__main__":
    main()
