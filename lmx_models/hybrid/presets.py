"""The presets of `--model hybrid`, named after their direction."""

from __future__ import annotations

from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_models.hybrid.graph import Graph, make_graph, read_graph
from lmx_models.methods.registry import method_named

DEFAULT_DIFFUSION = "wedlm"

PLAN = """{prompt}

Do not answer yet. First plan the answer: write one short JSON object with the keys "parts" (a list: what the answer \
must have, in order) and "rules" (a list: what it must not break). Write the JSON object and nothing else."""

FROM_PLAN = """{prompt}

Here is a plan of the answer:
{plan}

Write the whole answer by this plan, in the form that was asked for. Do not repeat the plan."""

FROM_DRAFT = """{prompt}

Here is a draft of the answer:
{draft}

Write the whole answer again, in the form that was asked for, and better. Do not comment on the draft."""


def ar_to_diffusion(ar: str, diffusion: str, method: str) -> dict[str, Any]:
    """An AR model writes a short plan, a diffusion model the answer (as in Planner and Executor, arXiv 2510.15244)."""
    plan = {"model": ar, "method": "ar", "prompt": PLAN, "settings": {"temperature": 0.7}, "max_tokens": 192}
    answer = {"model": diffusion, "method": method, "prompt": FROM_PLAN, "inputs": ["prompt", "plan"]}
    return {"nodes": {"plan": {**plan, "expect": "json"}, "answer": answer}}


def diffusion_to_ar(ar: str, diffusion: str, method: str) -> dict[str, Any]:
    """A diffusion model writes a draft under the task's limits, an AR model writes it again."""
    draft = {"model": diffusion, "method": method, "prompt": "{prompt}"}
    answer = {"model": ar, "method": "ar", "prompt": FROM_DRAFT, "inputs": ["prompt", "draft"]}
    return {"nodes": {"draft": draft, "answer": {**answer, "settings": {"temperature": 0.2}}}}


PRESETS = {"ar_to_diffusion": ar_to_diffusion, "diffusion_to_ar": diffusion_to_ar}


def chosen_graph(
    preset: str | None, graph: str | None, ar: str | None, diffusion: str | None, method: str | None
) -> Graph:
    """Return the graph of a preset or of a file, exactly one of which must be named.

    Args:
        ar, diffusion: names of a preset's two models. method: how the diffusion model decodes, by any method with one
            model; None: `DEFAULT_DIFFUSION`.
    """
    if (preset is None) == (graph is None):
        raise UserError(
            f"--model hybrid needs either preset=NAME ({', '.join(PRESETS)}) with ar=MODEL,diffusion=MODEL, or "
            "graph=FILE.yaml"
        )
    models = {"ar": ar, "diffusion": diffusion}
    if graph is not None:
        given = [name for name, value in {**models, "diffusion_method": method}.items() if value is not None]
        if given:
            raise UserError(f"{' and '.join(given)} belong to a preset; with graph={graph} the nodes name their models")
        return read_graph(graph)
    if preset not in PRESETS:
        raise unknown("preset", str(preset), PRESETS, "Or write your own: graph=FILE.yaml")
    method = DEFAULT_DIFFUSION if method is None else method
    described = method_named(method, "diffusion_method")
    if unnamed := [role for role in described.others if not isinstance(described.models.get(role), str)]:
        raise UserError(f"diffusion_method={method} needs {unnamed[0]}=MODEL, which a preset has not: graph=FILE.yaml")
    for name, value in models.items():
        if value is None:
            raise UserError(f"preset={preset} needs {name}=MODEL: a short name (`lmx models`), a Hub id or a folder")
    return make_graph(PRESETS[preset](str(ar), str(diffusion), method))
