"""`python -m menagerie`: the command where it is not installed, as in a clone."""

from menagerie.command import cli

if __name__ == "__main__":
    cli(prog_name="menagerie")
