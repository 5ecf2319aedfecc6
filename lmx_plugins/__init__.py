"""Finds installed plugins by their entry points and shows them to lm_eval.

`_start` becomes the start-up file of the environment, which waits for lm_eval; `autoload` then ties our hooks
to its modules. `discovery` reads entry points, `bridge` hands them to an lm_eval that does not look for them
itself, `guards` turns user mistakes into one line. Nothing here imports torch, transformers or another lmx
package.
"""
