"""The explanation that `pixel_colour.py` prints: sentences around what was measured and what the detector found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

import keras_clr

_TEST = (
    "Fisher's exact test at 0.05 for each row, so one in twenty would differ by chance; what changes the fate of a few "
    "runs only cannot be seen with {} of them"
)
CLIP = -math.log(keras.config.epsilon())


def explain(data: dict[str, Any], studies: Mapping[str, keras_clr.Study]) -> list[str]:
    """Paragraphs on the runs that are there; nothing that no run has shown."""
    rows = {name: row for name, row in data["rows"].items() if row["runs"]}
    paragraphs = [_what_differs(data)]
    if "question" in rows:
        paragraphs.append(_freeze(rows["question"], studies["question"]))
        paragraphs.append(_how_far(rows["question"]))
    paragraphs.append(_backends(data["backend"]))
    if "question" in rows:
        paragraphs += [_verdicts(rows, kind) for kind in ("advice", "cure")]
    paragraphs.append(_order(rows))
    paragraphs += [_cure(name, rows[name]) for name in ("logits", "fixed") if name in rows]
    paragraphs.append(_failures(data, studies))
    paragraphs.append(_unknown(data))
    return [paragraph for paragraph in paragraphs if paragraph]


def _what_differs(data: dict[str, Any]) -> str:
    return (
        "What differs between the runs of a row: the order of the training images, and nothing else. Initial weights, "
        "images and dropout masks are the same. Another --seed gives other weights and images; this is seed "
        f"{data['options']['seed']}."
    )


def _freeze(row: dict[str, Any], study: keras_clr.Study) -> str:
    runs = study.results
    frozen = [run for run in runs if run.is_stuck]
    at_chance = sum(not run.is_stuck and abs(run.curves["val_accuracy"][-1] - 0.5) < 0.01 for run in runs)
    rest = f" {at_chance} more ended near 50 % without a verdict." if at_chance else ""
    if not frozen:
        return f"Why runs freeze: 0 of {plural(len(runs), 'run')} of 'question' did here.{rest}"
    if row["frozen_after_reaching_95"]:
        rest += f" Of the frozen ones, {row['frozen_after_reaching_95']} had reached 95 % before."
    first = frozen[0]
    accuracies = sorted({round(run.curves["val_accuracy"][-1], 4) for run in frozen})
    losses = sorted({round(run.curves["val_loss"][-1], 3) for run in frozen})
    said = ""
    if first.stuck_epoch is not None and first.diagnosis is not None and first.diagnosis.findings:
        finding = first.diagnosis.findings[0]
        said = (
            f" StuckDetector on run {first.index + 1}, after epoch {first.stuck_epoch + 1} "
            f"({finding.confidence}, {finding.code}): {finding.sentence}"
        )
    return (
        f"Why runs freeze: {len(frozen)} of {plural(len(runs), 'run')} of 'question' ended at a validation accuracy of "
        f"{_list(accuracies)} and a validation loss of {_list(losses)} (0.5 x {CLIP:.3f} = {0.5 * CLIP:.3f})."
        f"{rest}{said}"
    )


def _how_far(question: dict[str, Any]) -> str:
    first, last = question["logit_moves_of_first_update"]
    sentence = (
        "How far one step goes, measured: from the initial weights, one Adam update moves a logit by about "
        f"{first:.3g} at base_lr and {last:.3g} at max_lr (the largest of an image, median of 8 images). A "
        f"probability is clipped once its logit lies {CLIP:.1f} below another."
    )
    if last > CLIP and question["frozen"]:
        sentence += (
            f" Near max_lr a single step is about {last / CLIP:.0f} times that: whether every image is thrown over the "
            "edge on the same class's side is up to which images come in those batches. After that no gradient leads "
            "back."
        )
    return sentence


def _backends(backend: str) -> str:
    here = (
        "Here, on TensorFlow, the question's network as it stands would be 'logits'"
        if backend == "tensorflow"
        else f"Here, on {backend}, the question's network as it stands is 'question'"
    )
    return (
        "Which one you get by default: with softmax in the last layer, Keras 3 on TensorFlow finds the logits behind "
        "it and computes the loss from them. On JAX and torch, and on TensorFlow if a layer that makes a new tensor "
        "follows the softmax (here: Reshape), the loss sees probabilities and clips them; so did Keras when it was "
        f"a package of its own. {here}."
    )


def _verdicts(rows: dict[str, dict[str, Any]], kind: str) -> str:
    """Which rows of a kind were right, made no difference, or made it worse."""
    of_kind = {name: row for name, row in rows.items() if row["kind"] == kind and "verdict" in row}
    if not of_kind:
        return ""
    groups: dict[str, list[str]] = {}
    for name, row in of_kind.items():
        shares = f"{name} (frozen {row['frozen']} of {row['runs']}, learned {row['learned']} of {row['runs']})"
        groups.setdefault(row["verdict"], []).append(shares)
    question = rows["question"]
    sentences = [f"{verdict}: {', '.join(names)}." for verdict, names in groups.items()]
    what = "The advice" if kind == "advice" else "The cures"
    return (
        f"{what}, against the question's frozen {question['frozen']} of {question['runs']}, learned "
        f"{question['learned']} of {question['runs']} ({_TEST.format(question['runs'])}). "
        + " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
    )


def _order(rows: dict[str, dict[str, Any]]) -> str:
    """Whether the shuffle itself is to blame."""
    said = [
        f"{name}: {row['learned']} of {row['runs']} learned, {row['frozen']} froze"
        + (f" (the detector: {', '.join(row['causes'])})" if row["causes"] else "")
        for name, row in rows.items()
        if row["kind"] == "order" or name in ("class-order", "interleaved")
    ]
    if not said:
        return ""
    return f"Is the shuffle to blame? The same images without it. {'; '.join(said)}."


def _cure(name: str, row: dict[str, Any]) -> str:
    runs, learned, frozen = row["runs"], row["learned"], row["frozen"]
    result = f"{learned} of {plural(runs, 'run')} ended at 95 % or more"
    if row["median_epochs_to_95"] is not None:
        result += f" (median: {plural(row['median_epochs_to_95'], 'epoch')} to get there)"
    result += f", {frozen} froze"
    if frozen < runs:
        besides = " of the others" if frozen else ""
        result += f"; lowest validation accuracy{besides} at the end: {row['lowest_val_accuracy_of_others']:.3f}"
    if name == "logits":
        return (
            f"What the loss alone changes ('logits'): same weights, same orders, same rates; {result}. One step goes "
            "as far as before, but a wrong answer keeps its gradient however sure it is: the way back stays open."
        )
    return (
        f"What to build instead ('fixed'): {result}. The loss sees the logits, so no gradient is cut off. One small "
        "convolution and GlobalMaxPooling2D give 16 features in place of 112 for every pixel: a step stays small, and "
        "what is learned about the colour at one place holds at all."
    )


def _failures(data: dict[str, Any], studies: Mapping[str, keras_clr.Study]) -> str:
    failed = [(name, study.failed[0]) for name, study in studies.items() if study.failed]
    if not failed:
        return ""
    return "Without a result: " + "; ".join(
        f"{plural(data['rows'][name]['failed'], 'run')} of '{name}' ({run.error.strip().splitlines()[-1]})"
        for name, run in failed
    )


def _unknown(data: dict[str, Any]) -> str:
    setting = data["setting"]
    factor = 1.0 if setting["name"] == "full" else (224 / setting["size"]) ** 2 / setting["rate_factor"]
    return (
        "What this cannot tell: how the question's images looked and were scaled, which decides over the share. Try "
        "--background and --input-range (at full size, 1 is 'divided by 255' and 255 is raw; here "
        f"{setting['input_range'] / factor:g})."
    )


def plural(count: float, noun: str, nouns: str = "") -> str:
    """'1 run', '2 runs'; `nouns` where the plural is not an s more."""
    return f"{count:g} {noun if count == 1 else nouns or noun + 's'}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
