"""The policy file of a backtest: what it changes in the judgement's configuration (pure)."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from cfa.config import CfaConfig


def policy_of(current: CfaConfig, text: str) -> CfaConfig:
    """``current`` with what ``text`` says: keys of the section ``cfa``, or a whole ``fivenines.yaml`` with that section.

    Mappings are merged key by key, anything else is replaced. Raises ValueError, which names each wrong key.
    """
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {error}") from error
    if not isinstance(said, Mapping):
        raise ValueError("it must be a mapping, like 'false_pages_per_year: 4'")  # noqa: TRY004 (an error of the file, like the others)
    changes = said.get("cfa", said)
    if not isinstance(changes, Mapping) or not changes:
        raise ValueError("the section cfa is empty: say what is to be changed")
    try:
        return CfaConfig.model_validate(_merged(current.model_dump(), changes))
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise ValueError("; ".join(problems)) from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found
