# Becomes the one line of the start-up file in site-packages and so runs whenever Python starts: no import, no file
# access, nothing that can fail, even when lmx was half removed and only this is left. It waits for `import lm_eval`.
import os
import sys

waiting = [type(finder).__name__ for finder in sys.meta_path]  # Python may read this twice, see pyproject.toml
if "WaitForLmEval" not in waiting and os.environ.get("LMX_NO_AUTOLOAD", "0") in ("", "0"):

    class WaitForLmEval:
        def find_spec(self, name, path=None, target=None):  # type: ignore
            if name != "lm_eval":
                return None
            try:
                from lmx_plugins.autoload import take_over

                return take_over(self).find_spec(name, path, target)
            except Exception:  # whatever is left of lmx, `import lm_eval` must not fail by it
                return None

    sys.meta_path.insert(0, WaitForLmEval())
