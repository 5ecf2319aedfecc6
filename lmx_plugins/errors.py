"""Another name of `lmx_files.errors`, kept for plugins."""

from lmx_files.errors import UserError, few, unknown

__all__ = ["UserError", "few", "unknown"]
