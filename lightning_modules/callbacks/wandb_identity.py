"""What Weights & Biases knows a user and a run by: the key, and a run's id."""

import netrc
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit


def wandb_key_configured() -> bool:
    """Whether W&B would find a key: in WANDB_API_KEY, or for its host in the netrc file that ``wandb login`` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def remembered_id(directory: Path) -> str:
    """The id that an online run in ``directory`` goes on under; an offline one starts anew in its group."""
    file = directory / "wandb-id.txt"
    if not file.exists():
        file.write_text(secrets.token_hex(4), encoding="utf-8")
    return file.read_text(encoding="utf-8")
