"""Where the code is installed, and what that means for a user: how to install more, and where models go."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
SHIPPED_STORE = _ROOT / "models" / "store"


def is_installed() -> bool:
    """Whether pip, pipx or uv installed the application; what make sets up in a clone is not that."""
    from importlib.metadata import PackageNotFoundError, distribution  # for those who need it: it takes 15 ms

    try:
        distribution("menagerie")
    except PackageNotFoundError:
        return False
    return True


def install_command(extra: str) -> str:
    """The command that adds the packages of an extra to this environment."""
    return f"pip install 'menagerie[{extra}]'" if is_installed() else f"pip install -r requirements/{extra}.txt"


def default_store() -> Path:
    """Where training writes: a clone has its own store; among installed packages is no place for a user's models."""
    is_clone = (_ROOT / "pyproject.toml").exists()
    return SHIPPED_STORE if is_clone else Path.cwd() / "models" / "store"
