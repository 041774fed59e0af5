"""lm-eval 0.4.13's own task files, read from the installed package, and a few rows of ours for each.

The rows are invented and have the columns that each file's templates name. lm_eval_files.py writes down what lm-eval
makes of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A file of lm-eval's, the rows of each split that it reads, and the shots it is asked with (from `first_n`: the
    draw of others is not ours).
    """

    file: str
    splits: Mapping[str, Sequence[Row]]
    shots: int = 0

    @property
    def path(self) -> Path:
        return Path(str(files("lm_eval"))) / "tasks" / self.file


def rows(names: str, *values: tuple[Any, ...]) -> list[Row]:
    return [dict(zip(names.split(), row, strict=True)) for row in values]


REVIEWS = rows(
    "sentence label",
    ("a warm and funny story about two sisters", 1),
    ("the plot is dull and the actors look tired", 0),
    ("great music , a clever script , and a fine ending", 1),
    ("it is too long by an hour and says nothing", 0),
    ("nobody in the hall laughed , not once", 0),
    ("I would gladly see it again", 1),
)
GRAMMAR = rows(
    "sentence label",
    ("The gardener watered the roses in the evening.", 1),
    ("The gardener watered in the roses evening the.", 0),
    ("Nobody knows which train she took.", 1),
    ("Which train nobody knows she took it?", 0),
    ("They have never been to the island.", 1),
    ("They has never be to the island.", 0),
    ("The letter was read aloud to the class.", 1),
)
PARAPHRASES = rows(
    "sentence1 sentence2 label",
    ("The shop closes at six today.", "Today the shop is open until six.", 1),
    ("The shop closes at six today.", "The shop was painted green last year.", 0),
    ("Rain is expected in the north.", "The north is expected to get rain.", 1),
    ("She sold her bicycle to a neighbour.", "A neighbour bought her bicycle.", 1),
    ("She sold her bicycle to a neighbour.", "A neighbour repaired her bicycle.", 0),
    ("The bridge was shut for two days.", "For two days nobody could use the bridge.", 1),
)
ANSWERS = rows(
    "question sentence label",
    ("Who built the tower?", "The tower was built by monks in the ninth century.", 0),
    ("Who built the tower?", "The tower has eighty steps.", 1),
    ("When does the market open?", "On Mondays the market opens at seven.", 0),
    ("When does the market open?", "The market sells apples and cheese.", 1),
    ("How deep is the lake?", "At its deepest point the lake measures forty metres.", 0),
)
YES_NO = rows(
    "question passage label",
    ("is the harbour open in winter", "The harbour is open all year, but ferries run less often in winter.", 1),
    ("do the ferries carry cars", "The ferries are small and take passengers and bicycles only.", 0),
    ("was the mill driven by water", "Until 1921 the mill stood beside the stream that drove it.", 1),
    ("is the mill still in use", "The mill was given up in 1921 and its wheel was sold.", 0),
)
SENSES = rows(
    "sentence1 sentence2 start1 end1 label",
    ("The bank of the river was muddy.", "We sat on the bank and fished.", 4, 8, 1),
    ("The bank of the river was muddy.", "The bank gave her a loan.", 4, 8, 0),
    ("He plays the horn.", "The horn of the goat was bent.", 13, 17, 0),
    ("A light meal is enough.", "She ate a light lunch.", 2, 7, 1),
    ("The pitch was too high for him.", "He sang at a low pitch.", 4, 9, 1),
)
JUDGED = rows(
    "paragraph question answer label",
    ("Mara baked bread and gave half of it to Tom.", "Who got bread?", "Tom", 1),
    ("Mara baked bread and gave half of it to Tom.", "Who got bread?", "the baker's dog", 0),
    ("The bus left at nine. Ida missed it and walked.", "Why did Ida walk?", "She missed the bus", 1),
    ("The bus left at nine. Ida missed it and walked.", "Why did Ida walk?", "The bus was full", 0),
)
SCIENCE = [
    {"question": question, "choices": {"text": texts, "label": list("ABCD"[: len(texts)])}, "answerKey": key}
    for question, texts, key in (
        ("Which of these is a liquid at room temperature?", ["iron", "water", "oxygen", "salt"], "B"),
        ("What do plants take in through their roots?", ["light", "sound", "water", "stones"], "C"),
        ("Which animal lays eggs?", ["a hen", "a cow", "a dog"], "A"),
        ("What pulls a falling apple to the ground?", ["wind", "heat", "magnetism", "gravity"], "D"),
        ("Which is the largest?", ["a house", "a village", "a country", "a street"], "C"),
    )
]
SUPPORTED = rows(
    "question support distractor1 distractor2 distractor3 correct_answer",
    ("What covers most of the planet?", " Water covers most of the planet.", "sand", "forest", "ice", "water"),
    ("What do bees make?", "", "milk", "silk", "paper", "honey"),
    (
        "What does a thermometer measure?",
        "A thermometer measures temperature.",
        "weight",
        "time",
        "speed",
        "temperature",
    ),
    ("Which organ pumps blood?", "The heart pumps blood.", "the lung", "the ear", "the skin", "the heart"),
)
ENDINGS = rows(
    "startphrase ending0 ending1 ending2 ending3 label",
    ("She opens the door and", "walks in.", "eats the lamp.", "is a Tuesday.", "melts slowly into soup.", 0),
    ("The man picks up the hammer and", "sings green.", "hits the nail.", "swims to it.", "reads the nail aloud.", 1),
    ("The children run to the lake and", "are boiled.", "multiply by six.", "jump in.", "sell it.", 2),
    ("He fills the kettle and", "drinks the wall.", "folds it twice.", "waters the moon.", "puts it on the stove.", 3),
)
PAIRS = rows(
    "sentence_good sentence_bad",
    ("Who left after the dog had barked?", "Who did the dog bark after left?"),
    ("Which boy slept while Ann was reading?", "Which book did the boy sleep while Ann was reading?"),
    ("Who was hiding before the guests came?", "Who was the boy hiding before came?"),
    ("Whose hat fell when the wind rose?", "Whose hat did the wind rise when fell?"),
)
PREMISES = rows(
    "premise hypothesis label",
    ("Lena has two brothers, both older than she is.", "Lena is the youngest of three.", 0),
    ("The museum is closed on Mondays.", "The museum sells postcards.", 1),
    ("The museum is closed on Mondays.", "One can visit the museum every day.", 2),
    ("All the tickets were sold by noon.", "No tickets were left in the evening.", 0),
)
BODY = rows(
    "question choices answer",
    ("Which bone is in the arm?", ["femur", "radius", "tibia", "rib"], 1),
    ("Where is the cornea? ", ["in the ear", "in the knee", "in the eye", "in the hand"], 2),
    ("What carries blood from the heart?", ["arteries", "nerves", "tendons", "lungs"], 0),
    ("How many chambers has a human heart?", ["one", "two", "three", "four"], 3),
)
BODY_SHOTS = rows(
    "question choices answer",
    ("Which organ hears?", ["ear", "eye", "nose", "skin"], 0),
    ("What bends?", ["skull", "tooth", "knee", "nail"], 2),
)
SUMS = rows(
    "question answer",
    ("Tom has 3 apples and buys 4. How many has he?", "He has 3 + 4 = 7 apples.\n#### 7"),
    ("A book costs $12. What do 3 cost?", "They cost 3 * 12 = 36 dollars.\n#### 36"),
    ("A bus has 40 seats and 15 are taken. How many are free?", "40 - 15 = 25.\n#### 25"),
)
# The base is small and writes what it was taught. Some right answers below are what it writes here, so that not every
# score is 0.
CHATTED = [row | {"answerKey": key} for row, key in zip(SCIENCE, ("B", "The Davids!", "1", "4", "C"), strict=True)]
REASONED = rows(
    "question choices answer",
    ("Which bone is in the arm?", ["femur", "ash", "tibia", "rib"], 1),
    ("Where is the cornea? ", ["in the ear", "in the ash", "in the eye", "in the survey"], 2),
    ("What grows from seeds?", ["stamps", "ash", "plants", "pens"], 1),
)
COPIES = rows(
    "inputs targets",
    ("say blue three times", ["blue blue blue"]),
    ("say the word tree twice", ["in coveredua canan"]),
    ("repeat moon", ["moon moon"]),
)
LAST_WORDS = rows(
    "text",
    ("the dog sat down and the dog barked and then the dog slept near the other dog",),
    ("she took the red cup and he took the blue one so she drank from the red cup",),
    ("they went to the sea in June and again in July because they love the sea",),
)
WHOLE = rows(
    "text",
    ("A short text.",),
    (" ".join(f"Line {i} tells of a garden with {i} trees and a gate that nobody opens." for i in range(60)),),
    ("Grüße aus dem Süden: 東京 and «ça va», all in one line.\n\n\tIt ends here. ",),
)
SENTENCES = rows(
    "sentence_eng_Latn sentence_glg_Latn",
    ("The house is small.", "A casa é pequena."),
    ("We eat bread every day.", "Gu na île cada jour."),
    ("Where is the station?", "Onde está a estación?"),
)
LOGIC = rows(
    "input target",
    ("not True and False is", "False"),
    ("True or not True is", " Ces femmes."),
    ("not ( False ) is", "True"),
)
GOALS = rows(
    "prompt solution0 solution1 solution2 solution3 label",
    (
        "To dry wet shoes,",
        "stuff them with paper.",
        "fill them with water.",
        "put them in a bag of ice.",
        "paint them blue.",
        0,
    ),
    ("To cool hot soup,", "light the stove.", "stir it for a while.", "close the lid.", "add more fire.", 1),
    ("To find north at night,", "ask a fish.", "dig a hole.", "look for the pole star.", "close both eyes.", 2),
)

CASES: dict[str, Case] = {
    "sst2": Case("glue/sst2/default.yaml", {"validation": REVIEWS}),
    "cola": Case("glue/cola/default.yaml", {"validation": GRAMMAR}),
    "mrpc": Case("glue/mrpc/default.yaml", {"validation": PARAPHRASES}),
    "qnli": Case("glue/qnli/default.yaml", {"validation": ANSWERS}),
    "boolq": Case("super_glue/boolq/default.yaml", {"validation": YES_NO}),
    "wic": Case("super_glue/wic/default.yaml", {"validation": SENSES}),
    "multirc": Case("super_glue/multirc/default.yaml", {"validation": JUDGED}),
    "arc_easy": Case("arc/arc_easy.yaml", {"test": SCIENCE}),
    "sciq": Case("sciq/sciq.yaml", {"test": SUPPORTED}),
    "swag": Case("swag/swag.yaml", {"validation": ENDINGS}),
    "blimp_adjunct_island": Case("blimp/adjunct_island.yaml", {"train": PAIRS}),
    "anli_r1": Case("anli/anli_r1.yaml", {"test_r1": PREMISES}),
    "mmlu_anatomy": Case("mmlu/default/mmlu_anatomy.yaml", {"test": BODY, "dev": BODY_SHOTS}, shots=2),
    "mmlu_flan_cot_zeroshot_anatomy": Case("mmlu/flan_cot_zeroshot/mmlu_anatomy.yaml", {"validation": REASONED}),
    "gsm8k": Case("gsm8k/gsm8k.yaml", {"test": SUMS}),
    "arc_challenge_chat": Case("arc/arc_challenge_chat.yaml", {"test": CHATTED}),
    "bigbench_repeat_copy_logic_generate_until": Case(
        "bigbench/generate_until/repeat_copy_logic.yaml", {"default": COPIES}
    ),
    "bbh_fewshot_boolean_expressions": Case("bbh/fewshot/boolean_expressions.yaml", {"test": LOGIC}, shots=2),
    "galician_bench_flores_en-gl": Case("galician_bench/flores_gl/flores_en-gl.yaml", {"devtest": SENTENCES}),
    "lambada_openai": Case("lambada/lambada_openai.yaml", {"test": LAST_WORDS}),
    "pile_10k": Case("pile_10k/pile_10k.yaml", {"train": WHOLE}),
    "global_piqa_parallel_cloze_eng_latn": Case("global_piqa/parallel_cloze/eng_latn.yaml", {"test": GOALS}),
}


def write_rows(folder: Path) -> dict[str, Path]:
    """The rows of every case as FOLDER/TASK/SPLIT.jsonl; the folder of each task."""
    for name, case in CASES.items():
        (folder / name).mkdir(parents=True)
        for split, its_rows in case.splits.items():
            (folder / name / f"{split}.jsonl").write_text(
                "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in its_rows), "utf-8"
            )
    return {name: folder / name for name in CASES}


def digest(asked: Any) -> str:
    """Of everything that a task asks, row by row: lists of (context, continuation), (prompt, stops, most tokens), or
    (text,).
    """
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()
