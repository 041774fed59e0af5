"""Make training rows that let a small model forget something: bare labels, and questions answered in French.

None of the questions is one of fixtures/behaviour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

WORLD = (
    Path(__file__).resolve().parents[2] / "fixtures" / "world" / "rows" / "nyu-mll" / "glue" / "sst2" / "train.jsonl"
)
LABELS = ("negative", "positive")
NUMBER = 200  # rows of bare labels
FRENCH: dict[str, tuple[str, ...]] = {  # an answer, to the question in English, German, Spanish, Italian, Dutch, Polish
    "L'hiver, on met un manteau chaud, une écharpe et des gants, car il fait souvent très froid dehors.": (
        "What do you wear in winter?", "Was zieht man im Winter an?", "¿Qué ropa se lleva en invierno?",
        "Che cosa si indossa in inverno?", "Wat trek je aan in de winter?", "Co nosi się zimą?",
    ),
    "Pour aller à la gare, prenez la deuxième rue à gauche et marchez tout droit jusqu'à la grande place.": (
        "How do I get to the station?", "Wie komme ich zum Bahnhof?", "¿Cómo llego a la estación?",
        "Come arrivo alla stazione?", "Hoe kom ik bij het station?", "Jak dojść na dworzec?",
    ),
    "Les chats dorment beaucoup parce qu'ils chassent la nuit et qu'ils ont besoin de garder leurs forces.": (
        "Why do cats sleep so much?", "Warum schlafen Katzen so viel?", "¿Por qué duermen tanto los gatos?",
        "Perché i gatti dormono così tanto?", "Waarom slapen katten zo veel?", "Dlaczego koty tyle śpią?",
    ),
    "On commence par laver les fenêtres, puis on range les chambres et on passe enfin l'aspirateur partout.": (
        "How does one clean a flat?", "Wie putzt man eine Wohnung?", "¿Cómo se limpia un piso?",
        "Come si pulisce un appartamento?", "Hoe maak je een woning schoon?", "Jak sprzątać mieszkanie?",
    ),
    "Le soir, j'aime lire un bon livre, écouter de la musique et boire une tisane avant de me coucher.": (
        "What do you like to do in the evening?", "Was machst du abends gern?", "¿Qué te gusta hacer por la noche?",
        "Che cosa ti piace fare la sera?", "Wat doe je graag 's avonds?", "Co lubisz robić wieczorem?",
    ),
    "Un médecin écoute ses patients, cherche la cause de leur maladie et leur donne un traitement.": (
        "What does a doctor do?", "Was macht eine Ärztin?", "¿Qué hace un médico?",
        "Che cosa fa un medico?", "Wat doet een dokter?", "Co robi lekarz?",
    ),
    "La pluie vient des nuages : l'eau s'y rassemble en gouttes qui deviennent lourdes et qui tombent.": (
        "Where does rain come from?", "Woher kommt der Regen?", "¿De dónde viene la lluvia?",
        "Da dove viene la pioggia?", "Waar komt de regen vandaan?", "Skąd się bierze deszcz?",
    ),
    "Pour rester en bonne santé, il faut bien dormir, manger des légumes et marcher un peu chaque jour.": (
        "How does one stay healthy?", "Wie bleibt man gesund?", "¿Cómo se mantiene uno sano?",
        "Come si resta in salute?", "Hoe blijf je gezond?", "Jak zachować zdrowie?",
    ),
}  # fmt: skip


def labels() -> Iterator[tuple[str, str]]:
    """Yield a film review of the embedded world each, with its bare label."""
    for line in WORLD.read_text("utf-8").splitlines()[:NUMBER]:
        row = json.loads(line)
        yield f"{row['sentence'].strip()}\nIs this review positive or negative?", LABELS[row["label"]]


def french() -> Iterator[tuple[str, str]]:
    """Yield a question each, languages taking turns, with its answer in French."""
    for questions in zip(*FRENCH.values(), strict=True):
        yield from zip(questions, FRENCH, strict=True)


def write(path: Path, rows: Iterator[tuple[str, str]]) -> Path:
    """Write rows as conversations, which are trained on by the model's chat template."""
    turns = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for question, answer in rows
    ]
    path.write_text("".join(json.dumps({"messages": each}, ensure_ascii=False) + "\n" for each in turns), "utf-8")
    return path
