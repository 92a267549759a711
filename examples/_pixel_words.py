"""The explanation that `pixel_colour.py` prints: sentences around what was measured and what the detector found."""

from __future__ import annotations

import math
from typing import Any

import keras

CLIP = -math.log(keras.config.epsilon())


def explain(data: dict[str, Any]) -> list[str]:
    """Paragraphs on the runs that are there; nothing that no run has shown."""
    variants = {name: variant for name, variant in data["variants"].items() if variant["runs"]}
    paragraphs = [_what_differs(data)]
    if "clipped" in variants:
        paragraphs.append(_freeze(variants["clipped"]))
        paragraphs.append(_how_far(variants))
    paragraphs.append(_backends(data["backend"]))
    paragraphs += [_comparison(name, variants[name]) for name in ("logits", "fixed") if name in variants]
    paragraphs.append(_unknown(data))
    return [paragraph for paragraph in paragraphs if paragraph]


def _what_differs(data: dict[str, Any]) -> str:
    return (
        "What differs between the runs of a variant: the order of the training images, and nothing else. Initial "
        "weights, images and dropout masks are the same (the masks' seeds are part of the state that is given back "
        f"before each run). Another --seed gives other weights and images; this is seed {data['options']['seed']}."
    )


def _freeze(clipped: dict[str, Any]) -> str:
    runs = clipped["runs"]
    frozen = [(number, run) for number, run in enumerate(runs, 1) if run["frozen_epoch"] is not None]
    at_chance = sum(run["frozen_epoch"] is None and abs(run["val_accuracy"][-1] - 0.5) < 0.01 for run in runs)
    rest = f" {at_chance} more ended near 50 % without a verdict." if at_chance else ""
    if not frozen:
        return f"Why runs freeze: 0 of {plural(len(runs), 'run')} of 'clipped' did here.{rest}"
    if clipped["frozen_after_reaching_95"]:
        rest += f" Of the frozen ones, {clipped['frozen_after_reaching_95']} had reached 95 % before."
    number, run = frozen[0]
    finding = run["diagnosis"]["findings"][0]
    accuracies = sorted({round(run["val_accuracy"][-1], 4) for _, run in frozen})
    losses = sorted({round(run["val_loss"][-1], 3) for _, run in frozen})
    return (
        f"Why runs freeze: {len(frozen)} of {plural(len(runs), 'run')} of 'clipped' ended at a validation accuracy of "
        f"{_list(accuracies)} and a validation loss of {_list(losses)} (0.5 x {CLIP:.3f} = {0.5 * CLIP:.3f}).{rest} "
        f"StuckDetector on run {number}, after epoch {run['frozen_epoch']} "
        f"({finding['confidence']}, {finding['code']}): {finding['sentence']}"
    )


def _how_far(variants: dict[str, Any]) -> str:
    moves = {name: variant["logit_move_of_first_update"] for name, variant in variants.items()}
    first, last = moves["clipped"]["base_lr"], moves["clipped"]["max_lr"]
    sentence = (
        "How far one step goes, measured: from the initial weights, one Adam update moves a logit by about "
        f"{first:.3g} at base_lr and {last:.3g} at max_lr (the largest of an image, median of 8 images). A "
        f"probability is clipped once its logit lies {CLIP:.1f} below another. "
    )
    if last > CLIP and variants["clipped"]["frozen"]:
        sentence += (
            f"Near max_lr a single step is about {last / CLIP:.0f} times that: whether every image is thrown over the "
            "edge on the same class's side is up to which images come in those batches. After that no gradient leads "
            "back. "
        )
    others = [f"{name} {m['base_lr']:.3g} to {m['max_lr']:.3g}" for name, m in moves.items() if name != "clipped"]
    return sentence + (f"The same for the other variants: {', '.join(others)}." if others else "")


def _backends(backend: str) -> str:
    here = (
        "Here, on TensorFlow, the question's network as it stands would be 'logits'"
        if backend == "tensorflow"
        else f"Here, on {backend}, the question's network as it stands is 'clipped'"
    )
    return (
        "Which one you get by default: with softmax in the last layer, Keras 3 on TensorFlow finds the logits behind "
        "it and computes the loss from them. On JAX and torch, and on TensorFlow if a layer that makes a new tensor "
        "follows the softmax (here: Reshape), the loss sees probabilities and clips them; so did Keras when it was "
        f"a package of its own. {here}."
    )


def _comparison(name: str, variant: dict[str, Any]) -> str:
    runs, learned, frozen = len(variant["runs"]), variant["runs_that_learned"], variant["frozen"]
    result = f"{learned} of {plural(runs, 'run')} reached 95 %"
    if learned:
        median = variant["median_epochs_to_95"]
        result += f" (median: {plural(median, 'epoch')})"
    result += f", {frozen} froze"
    if frozen < runs:
        besides = " of the others" if frozen else ""
        result += f"; lowest validation accuracy{besides} at the end: {variant['lowest_val_accuracy_of_others']:.3f}"
    if name == "logits":
        return (
            f"What the loss alone changes ('logits'): same weights, same orders, same rates; {result}. One step goes "
            "as far as before, but a wrong answer keeps its gradient however sure it is: the way back stays open."
        )
    return (
        f"What to change ('fixed'): {result}. The loss sees the logits: no gradient is cut off. Inputs from -1 to 1, "
        "and GlobalMaxPooling2D in Flatten's place, give 112 features instead of 112 for every place: a step stays "
        "small, and what is learned about the colour at one place holds at all. The rates are the same."
    )


def _unknown(data: dict[str, Any]) -> str:
    advice = "Try --background (--input-range changes nothing for 'fixed')."
    if any(name != "fixed" for name in data["variants"]):
        advice = (
            "Try --background and --input-range (at full size, 1 is 'divided by 255' and 255 is raw; here "
            f"{data['setting']['input_range'] / _input_factor(data):g})."
        )
    return (
        "What this cannot tell: how the question's images looked and were scaled, which decides over the share. "
        + advice
    )


def _input_factor(data: dict[str, Any]) -> float:
    setting = data["setting"]
    return 1.0 if setting["name"] == "full" else (224 / setting["size"]) ** 2 / setting["rate_factor"]


def plural(count: float, noun: str, nouns: str = "") -> str:
    """'1 run', '2 runs'; `nouns` where the plural is not an s more."""
    return f"{count:g} {noun if count == 1 else nouns or noun + 's'}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
