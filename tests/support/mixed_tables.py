"""Tables in the shape of those that tutorials use: text, codes, truth values and gaps beside measurements.

Each function draws its rows anew, always the same for one seed; nothing is copied from the tables themselves.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

Rng = np.random.Generator
Cell = str | int | float


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, ``rows`` [rows, columns], and the name of the column with the labels.

    ``gap`` is what the table writes for a missing value.
    """

    header: list[str]
    rows: list[list[str]]
    label: str
    gap: str = ""

    def write_csv(self, path: Path) -> Path:
        path.write_text(self._to_csv(), encoding="utf-8")
        return path

    def write_parquet(self, path: Path, *, dictionary: bool = True) -> Path:
        """With numbers and truth values as such, gaps as nulls, and text as categories if ``dictionary``."""
        convert = pa_csv.ConvertOptions(null_values=[self.gap, ""], strings_can_be_null=True)
        parse = pa_csv.ParseOptions(newlines_in_values=True)
        table = pa_csv.read_csv(io.BytesIO(self._to_csv().encode()), parse_options=parse, convert_options=convert)
        if dictionary:
            columns = [
                column.combine_chunks().dictionary_encode() if pa.types.is_string(column.type) else column
                for column in table.columns
            ]
            table = pa.table(columns, names=table.column_names)
        pq.write_table(table, path)
        return path

    def column(self, name: str) -> list[str]:
        """The cells of one column."""
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def _to_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return text.getvalue()


def penguins(rows: int = 344, seed: int = 1) -> Table:
    """Three species of penguins: islands, measurements, and sexes of which some are not known."""
    # species: share, islands, bill length, bill depth, flipper, mass
    kinds: dict[str, Any] = {
        "Adelie": (0.44, ("Torgersen", "Biscoe", "Dream"), (38.8, 18.35, 190, 3700)),
        "Gentoo": (0.36, ("Biscoe",), (47.5, 15.0, 217, 5076)),
        "Chinstrap": (0.20, ("Dream",), (48.8, 18.4, 196, 3733)),
    }
    rng = np.random.default_rng(seed)
    cells: list[list[Cell]] = []
    for number in range(rows):
        species = _choose(rng, {name: share for name, (share, *_) in kinds.items()})
        _, islands, (length, depth, flipper, mass) = kinds[species]
        male = rng.random() < 0.5
        size = rng.normal(0.6 if male else -0.6, 0.8)
        measures: list[Cell] = [
            round(length + 2.2 * size + rng.normal(0, 1.5), 1),
            round(depth + 0.8 * size + rng.normal(0, 0.6), 1),
            round(flipper + 3 * size + rng.normal(0, 5)),
            25 * round((mass + 330 * size + rng.normal(0, 200)) / 25),
        ]
        sex = "NA" if rng.random() < 0.03 else "male" if male else "female"
        if number % 172 == 3:  # two of 344 were never measured
            measures, sex = ["NA"] * 4, "NA"
        cells.append([species, str(rng.choice(islands)), *measures, sex, int(rng.integers(2007, 2010))])
    header = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year"
    return _table(header, cells, "species", "NA")


def titanic(rows: int = 891, seed: int = 2) -> Table:
    """Passengers of a ship, as seaborn has them: several columns say the same, and ``alive`` is the label in words."""
    rng = np.random.default_rng(seed)
    towns = {"S": "Southampton", "C": "Cherbourg", "Q": "Queenstown"}
    cells: list[list[Cell]] = []
    for _ in range(rows):
        ticket = int(_choose(rng, {"1": 0.24, "2": 0.21, "3": 0.55}))
        sex = _choose(rng, {"male": 0.65, "female": 0.35})
        age = max(0.4, round(rng.gamma(4, 8 - ticket), 0 if rng.random() < 0.95 else 1))
        siblings, parents = min(8, int(rng.poisson(0.5))), min(6, int(rng.poisson(0.4)))
        fare = round(float(rng.lognormal((4.1, 2.9, 2.4)[ticket - 1], 0.5)), 4)
        port = _choose(rng, {"S": 0.723, "C": 0.187, "Q": 0.087, "": 0.003})
        deck = str(rng.choice(list("ABCDE") if ticket == 1 else list("DEFG")))
        has_deck = rng.random() < (0.8 if ticket == 1 else 0.06)
        who = "child" if age < 16 else "man" if sex == "male" else "woman"
        chance = {"man": -1.9, "woman": 1.6, "child": 0.4}[who] + 0.9 * (2 - ticket) - 0.25 * siblings
        survived = int(rng.random() < _sigmoid(chance + 0.3 * (port == "C")))
        cells.append(
            [
                *(survived, ticket, sex, "" if rng.random() < 0.2 else age, siblings, parents, fare, port),
                ("First", "Second", "Third")[ticket - 1],
                *(who, str(who == "man"), deck if has_deck else "", towns.get(port, "")),
                *("yes" if survived else "no", str(siblings + parents == 0)),
            ]
        )
    header = "survived,pclass,sex,age,sibsp,parch,fare,embarked,class,who,adult_male,deck,embark_town,alive,alone"
    return _table(header, cells, "survived")


def adult(rows: int = 2000, seed: int = 3) -> Table:
    """Incomes of a census, with a question mark where an answer is missing."""
    rng = np.random.default_rng(seed)
    degrees = ("7th-8th", "9th", "10th", "11th", "HS-grad", "Some-college", "Assoc-voc", "Bachelors", "Masters")
    countries = ["Mexico", "Philippines", "Germany", "Canada", "Puerto-Rico", "India", "Cuba", "England", "Jamaica"]
    jobs = {
        "Craft-repair": 0,
        "Exec-managerial": 1,
        "Prof-specialty": 0.9,
        "Adm-clerical": -0.3,
        "Sales": 0.2,
        "Other-service": -1.4,
        "Machine-op-inspct": -0.6,
        "Transport-moving": -0.3,
        "Handlers-cleaners": -1.1,
        "Farming-fishing": -0.8,
        "Tech-support": 0.4,
        "Protective-serv": 0.3,
        "Priv-house-serv": -2,
    }
    cells: list[list[Cell]] = []
    for _ in range(rows):
        age = int(np.clip(rng.normal(39, 13), 17, 90))
        years = int(np.clip(rng.normal(10, 2.5), 4, 14))
        gender = _choose(rng, {"Male": 0.67, "Female": 0.33})
        status = _choose(rng, {"Married-civ-spouse": 0.47, "Never-married": 0.33, "Divorced": 0.15, "Widowed": 0.05})
        partner = "Husband" if gender == "Male" else "Wife"
        family = partner if status.startswith("Married") else _choose(rng, {"Not-in-family": 0.6, "Own-child": 0.4})
        job = str(rng.choice(list(jobs)))
        hours = int(np.clip(rng.normal(40, 11), 1, 99))
        gain = int(rng.integers(3, 160) * 100) if rng.random() < 0.08 else 0
        unknown = rng.random() < 0.056
        score = 0.045 * (age - 39) + 0.35 * (years - 10) + jobs[job] + 0.03 * (hours - 40) + 0.0003 * gain
        is_rich = rng.random() < _sigmoid(score - 2.6 + 2.2 * status.startswith("Married"))
        cells.append(
            [
                age,
                "?"
                if unknown
                else _choose(rng, {"Private": 0.75, "Self-emp": 0.11, "State-gov": 0.08, "Federal": 0.06}),
                int(rng.lognormal(12, 0.5)),
                degrees[min(years - 4, len(degrees) - 1)],
                *(years, status, "?" if unknown else job, family),
                _choose(rng, {"White": 0.85, "Black": 0.1, "Asian-Pac-Islander": 0.03, "Amer-Indian-Eskimo": 0.02}),
                *(gender, gain, int(rng.choice([1485, 1887, 1902])) if rng.random() < 0.05 else 0, hours),
                "United-States" if rng.random() < 0.9 else "?" if rng.random() < 0.2 else str(rng.choice(countries)),
                ">50K" if is_rich else "<=50K",
            ]
        )
    header = (
        "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,gender,capital_gain,"
        "capital_loss,hours_per_week,native_country,income"
    )
    return _table(header, cells, "income", "?")


def heart(rows: int = 303, seed: int = 4) -> Table:
    """Patients with and without a disease of the heart: most categories are codes, and ``thal`` is text."""
    rng = np.random.default_rng(seed)
    cells: list[list[Cell]] = []
    for _ in range(rows):
        age, sex, pain = int(np.clip(rng.normal(54, 9), 29, 77)), int(rng.random() < 0.68), int(rng.integers(0, 5))
        rate = int(np.clip(rng.normal(150 - 0.6 * (age - 54), 20), 71, 202))
        angina, vessels = int(rng.random() < 0.33), int(_choose(rng, {"0": 0.58, "1": 0.22, "2": 0.13, "3": 0.07}))
        thal = _choose(rng, {"normal": 0.55, "reversible": 0.38, "fixed": 0.07})
        depression = round(max(0.0, float(rng.normal(0.8, 1.2))), 1)
        score = 0.5 * sex + 0.6 * (pain == 4) + angina + 0.9 * vessels + 1.2 * (thal == "reversible") + 0.5 * depression
        ill = int(rng.random() < _sigmoid(score - 0.02 * (rate - 150) - 3))
        cells.append(
            [
                *(age, sex, pain, int(rng.normal(131, 17)), int(rng.normal(246, 50)), int(rng.random() < 0.15)),
                *(int(rng.integers(0, 3)), rate, angina, depression, int(rng.integers(1, 4)), vessels, thal, ill),
            ]
        )
    return _table("age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target", cells, "target")


def pets(rows: int = 1500, seed: int = 5) -> Table:
    """Pets that find a home or none: many breeds, most of them rare, and a description that hardly repeats."""
    rng = np.random.default_rng(seed)
    colors = ("Black", "Brown", "Golden", "Yellow", "Cream", "Gray", "White")
    words = ("friendly", "playful", "shy", "clever", "calm", "healthy", "house-trained", "rescued", "vaccinated")
    cells: list[list[Cell]] = []
    for number in range(rows):
        kind = _choose(rng, {"Dog": 0.55, "Cat": 0.45})
        breed = int(min(rng.zipf(1.6), 60))
        breeds = ("Mixed Breed", "Labrador") if kind == "Dog" else ("Domestic Short Hair", "Tabby")
        age, photos = int(min(rng.geometric(0.1), 120)), int(min(rng.poisson(3.6), 30))
        fur, sterilized = _choose(rng, {"Short": 0.6, "Medium": 0.3, "Long": 0.1}), rng.random() < 0.3
        health = _choose(rng, {"Healthy": 0.96, "Minor Injury": 0.03, "Serious Injury": 0.01})
        score = (
            1.2 - 0.03 * age + 0.18 * photos + 0.9 * (fur == "Long") - 1.2 * (health != "Healthy") - 0.4 * sterilized
        )
        story = f'Number {number}, {", ".join(map(str, rng.choice(words, 4)))}: "looks for a home".'
        cells.append(
            [
                *(kind, age, breeds[breed - 1] if breed <= 2 else f"{kind} breed {breed}"),
                _choose(rng, {"Male": 0.4, "Female": 0.6}),
                *(str(rng.choice(colors)), "No Color" if rng.random() < 0.4 else str(rng.choice(colors))),
                _choose(rng, {"Small": 0.2, "Medium": 0.7, "Large": 0.1}),
                *(fur, _choose(rng, {"Yes": 0.4, "No": 0.45, "Not Sure": 0.15}), "Yes" if sterilized else "No"),
                *(health, int(rng.choice([0, 0, 0, 50, 100, 200])), "" if rng.random() < 0.01 else story, photos),
                int(rng.random() < _sigmoid(score)),
            ]
        )
    header = (
        "Type,Age,Breed1,Gender,Color1,Color2,MaturitySize,FurLength,Vaccinated,Sterilized,Health,Fee,Description,"
        "PhotoAmt,target"
    )
    return _table(header, cells, "target")


def _table(header: str, cells: Sequence[Sequence[Cell]], label: str, gap: str = "") -> Table:
    return Table(header.split(","), [list(map(str, row)) for row in cells], label, gap)


def _choose(rng: Rng, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
