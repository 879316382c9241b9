"""`wtal-fast cost`: parameters and floating-point operations of a preset's model."""

from __future__ import annotations

from typing import Annotated

import typer

ROWS = (("inference", "inference of a video"), ("forward", "training forward pass of a video, all branches"),
        ("released_step", "training step of a video as the released code runs it"),
        ("step", "training step of a video as run here"))


def command(
    preset: Annotated[str, typer.Argument(help="method/dataset/variant, see `wtal-fast explain`.")],
    settings: Annotated[list[str] | None, typer.Argument(help="key=value settings over the preset.")] = None,
    num_classes: Annotated[int | None, typer.Option("--classes", min=1, help="Action classes; by default as many as "
                                                    "the preset names, else 20.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the parameters and GFLOP of PRESET, of the whole model and of each layer (a multiply-add is two FLOP)."""
    import json

    report = measured(preset, settings or [], num_classes)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['preset']}: {report['classes']} classes, {report['snippets']} snippets a video\n")
    print(f"{report['parameters']:>13,} parameters")
    for key, text in ROWS:
        print(f"{report['gflop'][key]:>13,.2f} GFLOP, {text}")
    print(f"\n{'parameters':>13} {'GFLOP':>9} layer (GFLOP of one forward use)")
    for row in report["layers"]:
        print(f"{row['parameters']:>13,} {row['gflop']:>9.3f} {row['layer']}")


def measured(preset: str, settings: list[str], num_classes: int | None) -> dict:
    """What --json prints."""
    import torch

    from wtal_fast.engine.methods import build_model, configure, load_plugins
    from wtal_fast.models.cost import flops_of, model_cost
    from wtal_fast.preset_files import parse_overrides

    load_plugins()
    config = configure(preset, parse_overrides(settings))
    classes = num_classes or len(config.data.class_names or ()) or 20
    with torch.device("meta"):
        model = build_model(config, classes)
    cost = model_cost(model, 1, config.data.num_snippets)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    layers = [{"layer": product.layer, "parameters": sizes[product.layer], "gflop": product.flops / 1e9}
              for product in cost.inference]
    return {"preset": config.preset, "classes": classes, "snippets": config.data.num_snippets,
            "parameters": cost.parameters, "gflop": {key: flops_of(getattr(cost, key)) / 1e9 for key, _ in ROWS},
            "layers": layers}
