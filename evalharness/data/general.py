"""Read ARC, HellaSwag, PIQA, WinoGrande, LAMBADA and GSM8K, as published or in other formats, into the hub's rows.

Other formats are CSV, Parquet and other names of columns. A missing label becomes "", or -1 if the hub has numbers.
Columns that a task does not need stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from evalharness.data.columns import Names
from evalharness.data.files import DataRow, kind
from evalharness.data.layout import JsonObject
from evalharness.data.question_set import NAMES, QuestionSet

LABEL = ("gold", "gold_label", "target", "correct")
SPELLED = ("{}_{}", "{}{}")


def _texts(line: JsonObject, *keys: str) -> dict[str, str]:
    return {key: line.text(key) for key in keys}


def _without(line: JsonObject, key: str) -> dict[str, Any]:
    """Return the row without a column that the authors' files have and the hub's rows do not."""
    return {name: value for name, value in line.values.items() if name != key}


def _label(line: JsonObject, key: str, labels: Collection[str]) -> str:
    """Return the label as a text; "" if the row has none. Raises DataError for an unknown one."""
    value = line.values.get(key, "")
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    if key in line.values and text not in labels:
        raise line.error(f"the {key} is {text[:40]!r}", f"{', '.join(labels)} would be right")
    return text


def _value(line: JsonObject, key: str) -> Any:
    """Return a list or an object. In a cell of a table it is written as JSON."""
    value = line.get(key, "a list")
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise line.error(f"{key!r} is a text", "a list, in a table one written as JSON, would be right") from None
    return value


def _listed(line: JsonObject, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        wrong = "a list of other things" if isinstance(value, list) else kind(value)
        raise line.error(f"{key!r} is {wrong}", "a list of texts would be right")
    return value


def _choices(line: JsonObject) -> dict[str, list[str]]:
    """Return the hub's object with a list of texts and a list of labels. The authors' files have a list of objects."""
    value = _value(line, "choices")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {key: [item.get(key) for item in value] for key in ("text", "label")}
    if not isinstance(value, dict):
        raise line.error(f"'choices' is {kind(value)}", "texts and labels would be right")
    texts, labels = (_listed(line, f"choices.{key}", value.get(key)) for key in ("text", "label"))
    if not texts or len(texts) != len(set(labels)) or len(texts) != len(labels):
        what = f"has {len(texts)} choices and the labels {', '.join(labels)[:80]}"
        raise line.error(what, "a label of its own for each choice would be right")
    return {"text": texts, "label": labels}


def _arc(line: JsonObject) -> DataRow:
    """Return the hub's row; a published question is an object with a stem and choices."""
    inner = line.inside("question") if isinstance(line.values.get("question"), dict) else line
    choices = _choices(inner if "choices" in inner.values else line)
    question = line.text("question") if inner is line else inner.text("stem")
    answer = str(line.values.get("answerKey", "")).strip()  # other tasks over such rows have texts here
    return {**line.values, "question": question, "choices": choices, "answerKey": answer}


def _hellaswag(line: JsonObject) -> DataRow:
    endings = _listed(line, "endings", _value(line, "endings"))
    if len(endings) != 4:
        raise line.error(f"has {len(endings)} endings", "four would be right")
    texts = _texts(line, "activity_label", "ctx_a", "ctx_b")
    return {**line.values, **texts, "endings": endings, "label": _label(line, "label", "0123")}


def _piqa(line: JsonObject) -> DataRow:
    label = int(_label(line, "label", "01") or -1)
    return {**_without(line, "id"), **_texts(line, "goal", "sol1", "sol2"), "label": label}


def _winogrande(line: JsonObject) -> DataRow:
    texts = _texts(line, "sentence", "option1", "option2")
    if (gaps := texts["sentence"].count("_")) != 1:
        raise line.error(f"the sentence has {gaps} gaps", "one gap, written _, would be right")
    return {**_without(line, "qID"), **texts, "answer": _label(line, "answer", "12")}


def _lambada(line: JsonObject) -> DataRow:
    text = line.text("text")
    if not text.split(" ")[-1] or " " not in text:
        raise line.error("the passage does not end in a word after a space", "a passage whose last word is asked for")
    return line.values


def _gsm8k(line: JsonObject) -> DataRow:
    texts = _texts(line, "question", "answer")
    if "#### " not in texts["answer"]:
        raise line.error("the answer has no '#### '", "steps, then #### and the number, would be right")
    return {**line.values, **texts}


def _plain(prefix: str = "", ending: str = "") -> Callable[[str, str], Sequence[str]]:
    """Return a function that names the files of a split, such as hellaswag_val."""
    return lambda config, split: [f"{prefix}{name}{ending}" for name in NAMES.get(split, ())]


def _arc_stems(config: str, split: str) -> Sequence[str]:
    return [f"{config}-{name}" for name in NAMES.get(split, ())] if config else ()


def _winogrande_stems(config: str, split: str) -> Sequence[str]:
    return [f"train_{config.removeprefix('winogrande_')}"] if split == "train" else NAMES.get(split, ())


def _lambada_stems(config: str, split: str) -> Sequence[str]:
    return [f"lambada_{split}" if config in ("", "default") else f"lambada_{split}_{config}"]


def _passage_stems(config: str, split: str) -> Sequence[str]:
    return [f"lambada_{name}_plain_text" for name in {"validation": ("development",), "test": ("test",)}.get(split, ())]


def _numbered(name: str, *others: str) -> Names:
    """Return two columns that end in a number, with other names of them."""
    return {
        f"{name}{n}": (f"{name}_{n}", *(style.format(other, n) for other in others for style in SPELLED))
        for n in (1, 2)
    }


ARC = QuestionSet(
    title="ARC (ARC-Easy/ARC-Easy-Test.jsonl)",
    folders=(
        *("ai2_arc", "ARC-Easy", "ARC-Challenge", "ARC-V1-Feb2018-2/ARC-Easy", "ARC-V1-Feb2018-2/ARC-Challenge"),
        *("ARC-V1-Feb2018/ARC-Easy", "ARC-V1-Feb2018/ARC-Challenge"),
    ),
    stems=_arc_stems,
    names={"question": ("query",), "choices": ("options",), "answerKey": ("answer_key", "answer", "label", *LABEL)},
    row=_arc,
    label="answerKey",
    nested=("choices",),
).layout()
HELLASWAG = QuestionSet(
    title="HellaSwag (hellaswag_val.jsonl)",
    folders=("hellaswag", "hellaswag/data"),
    stems=_plain("hellaswag_"),
    names={"activity_label": ("activity",), "ctx_a": (), "ctx_b": (), "endings": ("choices",), "label": LABEL},
    row=_hellaswag,
    label="label",
    lists=("endings",),
).layout()
PIQA = QuestionSet(
    title="PIQA (valid.jsonl and valid-labels.lst)",
    folders=("piqa", "piqa/data", "piqa/plain_text", "physicaliqa-train-dev"),
    stems=_plain(),
    names={"goal": ("question", "prompt"), **_numbered("sol", "solution", "choice"), "label": ("answer", *LABEL)},
    row=_piqa,
    label="label",
).layout()
WINOGRANDE = QuestionSet(
    title="WinoGrande (winogrande_1.1/dev.jsonl, train_xl.jsonl)",
    folders=("winogrande_1.1", "winogrande"),
    stems=_winogrande_stems,
    names={"sentence": ("text",), **_numbered("option", "choice"), "answer": ("label", *LABEL)},
    row=_winogrande,
    label="answer",
).layout()
LAMBADA = QuestionSet(
    title="LAMBADA (lambada_test.jsonl)",
    folders=("lambada_openai", "lambada_openai/data", "lambada"),
    stems=_lambada_stems,
    names={"text": ("passage", "sentence")},
    row=_lambada,
).layout()
PASSAGES = QuestionSet(
    title="LAMBADA (lambada_test_plain_text.txt)",
    folders=("lambada-dataset", "lambada"),
    stems=_passage_stems,
    names={"text": ("passage", "sentence")},
    row=_lambada,
    suffixes=(".txt", ".txt.gz"),
).layout()
GSM8K = QuestionSet(
    title="GSM8K (grade_school_math/data/test.jsonl)",
    folders=("gsm8k", "gsm8k/data", "grade_school_math/data", "grade-school-math/grade_school_math/data"),
    stems=_plain(),
    names={"question": ("problem", "query"), "answer": ("solution", "response")},
    row=_gsm8k,
).layout()
