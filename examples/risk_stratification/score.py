"""Who may need help before it becomes an emergency: a count of deficits, and a model that a page can explain.

The deficits are those of the electronic frailty index (Clegg and others, Age and Ageing 2016; 36 of them, for people of
65 and over) that the linked data can show, so the count is lower than a practice's own. The model gives the chance of
an emergency admission within a year from the count, the age and the emergency attendances of the year before. It is
fitted on one half of the people and shown on the other: what it said, and what came.

Everybody in the demo is made up, so nothing here is a finding about people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.float64]
YEAR = timedelta(days=365)
YOUNGEST = 65
# SNOMED CT and ICD-10 codes by which a deficit is seen; of ICD-10 codes the first characters count.
DEFICITS = {
    "arthritis": ("396275006", "M19", "M17"),
    "atrial fibrillation": ("49436004", "I48"),
    "cerebrovascular disease": ("230690007", "I63", "I64"),
    "chronic kidney disease": ("709044004", "N18"),
    "diabetes": ("44054006", "E11"),
    "falls": ("R296",),
    "fragility fracture": ("S720",),
    "heart failure": ("84114007", "I50"),
    "hypertension": ("59621000", "I10"),
    "ischaemic heart disease": ("53741008", "I25", "I21"),
    "memory and cognitive problems": ("52448006", "F03"),
    "respiratory disease": ("13645005", "195967001", "J44", "J45"),
    "thyroid disease": ("40930008", "E03"),
    "urinary incontinence": ("R32",),
    "anaemia": ("D64",),
}
POLYPHARMACY = 5  # different medicines within a year
# The index's own limits, as shares of the deficits that can be seen.
BANDS = ((0.12, "fit"), (0.24, "mild"), (0.36, "moderate"), (1.01, "severe"))
FEATURES = ("deficits", "decades over 75", "attendances")


def people_on(connection: duckdb.DuckDBPyConnection, day: date) -> pl.DataFrame:
    """What was known of everybody of 65 and over on a day.

    Returns:
        `token` (text), `deficits`, `age` and `attendances` of the year before (integers), and `admitted`: whether an emergency
        admission came within the year after.
    """
    codes = [(name, code) for name, listed in DEFICITS.items() for code in listed]
    values = ", ".join(f"('{name}', '{code}')" for name, code in codes)
    before, after = day - YEAR, day + YEAR
    found = connection.sql(
        f"""
        WITH listed(deficit, code) AS (VALUES {values}),
        coded AS (
            SELECT c.token, c.system, c.code, e.start FROM event_code c JOIN event e USING (token, record)
            WHERE e.start < $day
        ),
        deficits AS (
            SELECT token, count(DISTINCT deficit) AS many FROM coded JOIN listed ON starts_with(coded.code, listed.code)
            WHERE system IN ('snomed', 'icd10') GROUP BY token
        ),
        medicines AS (
            SELECT token, count(DISTINCT code) AS many FROM coded WHERE system = 'dmd' AND start >= $before GROUP BY token
        ),
        attendances AS (
            SELECT token, count(*) AS many FROM event
            WHERE feed = 'ecds' AND kind = 'attendance' AND start >= $before AND start < $day GROUP BY token
        ),
        admitted AS (
            SELECT DISTINCT token FROM sus_apc_spell
            WHERE starts_with(admission_method, '2') AND admission_date >= $day AND admission_date < $after
        )
        SELECT p.token::VARCHAR AS token,
            coalesce(d.many, 0) + (coalesce(m.many, 0) >= {POLYPHARMACY})::INT AS deficits,
            year($day) - birth_year AS age,
            least(coalesce(a.many, 0), 5) AS attendances,
            x.token IS NOT NULL AS admitted
        FROM person p LEFT JOIN deficits d USING (token) LEFT JOIN medicines m USING (token)
            LEFT JOIN attendances a USING (token) LEFT JOIN admitted x USING (token)
        WHERE year($day) - birth_year >= {YOUNGEST} AND (death_month IS NULL OR death_month > $day)
            AND practice IS NOT NULL
        ORDER BY token
        """.replace("$day", f"DATE '{day}'")
        .replace("$before", f"DATE '{before}'")
        .replace("$after", f"DATE '{after}'")
    )
    frame: pl.DataFrame = found.pl()
    return frame


def band(deficits: int) -> str:
    """The index's word for a count, out of the deficits that can be seen here."""
    share = deficits / (len(DEFICITS) + 1)
    return next(word for limit, word in BANDS if share <= limit)


@dataclass(frozen=True)
class Model:
    """A logistic model: the log odds are the intercept and so much for each feature."""

    weights: Numbers

    @classmethod
    def fit(cls, people: pl.DataFrame) -> Model:
        """By Newton's method, each weight but the intercept held a little towards none."""
        rows, came = _matrix(people), people["admitted"].to_numpy().astype(np.float64)
        weights = np.zeros(rows.shape[1])
        ridge = np.diag([0.0, *[1.0] * len(FEATURES)])
        for _ in range(50):
            chance = 1 / (1 + np.exp(-rows @ weights))
            slope = rows.T @ (came - chance) - ridge @ weights
            bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
            step = np.linalg.solve(bend, slope)
            weights = weights + step
            if np.abs(step).max() < 1e-9:
                break
        return cls(weights)

    def chance(self, people: pl.DataFrame) -> Numbers:
        """The chance of an emergency admission within a year, 0 to 1."""
        found: Numbers = 1 / (1 + np.exp(-_matrix(people) @ self.weights))
        return found

    def words(self) -> str:
        """How the odds change with each feature."""
        return ", ".join(
            f"each of {name} times {np.exp(weight):.2f}"
            for name, weight in zip(FEATURES, self.weights[1:], strict=True)
        )


def _matrix(people: pl.DataFrame) -> Numbers:
    columns = (pl.lit(1.0), pl.col("deficits"), (pl.col("age") - 75) / 10, pl.col("attendances"))
    return people.select(each.cast(pl.Float64).alias(str(n)) for n, each in enumerate(columns)).to_numpy()


def halves(people: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One half to fit on and the other to show it on, by the last digit of the token: chance, and the same each time."""
    last = pl.col("token").str.slice(-1).str.to_integer(base=16)
    return people.filter(last < 8), people.filter(last >= 8)


def calibration(model: Model, people: pl.DataFrame, groups: int = 5) -> pl.DataFrame:
    """What the model said and what came, in groups from the lowest chance to the highest: `said` and `came`, 0 to 1."""
    order = people.with_columns(said=model.chance(people)).sort("said", "token").with_row_index("place")
    place = (pl.col("place") * groups // people.height).alias("group")
    return order.group_by(place).agg(pl.col("said").mean(), pl.col("admitted").mean().alias("came")).sort("group")


def draw(found: pl.DataFrame, path: Path) -> None:
    """Calibration as a picture: on the line the model is right, above it says too little."""
    most = max(0.1, found.select(pl.max_horizontal(pl.col("said").max(), pl.col("came").max())).item() * 1.1)

    def at(value: float) -> float:
        return 280 * value / most

    points = "".join(
        f'<circle cx="{40 + at(said):.1f}" cy="{300 - at(came):.1f}" r="5" fill="#005eb8"/>'
        for said, came in found.select("said", "came").iter_rows()
    )
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 340 350" font-family="sans-serif" font-size="12">'
        '<path d="M40 300V20M40 300H320" stroke="#4c6272"/><path d="M40 300L320 20" stroke="#aeb7bd" stroke-dasharray="4"/>'
        f'{points}<text x="40" y="318">0</text><text x="290" y="318">{most:.0%}</text>'
        '<text x="110" y="338">chance that the model gave</text>'
        f'<text x="4" y="24">{most:.0%}</text><text x="46" y="14">share that was admitted as an emergency</text></svg>\n',
        encoding="utf-8",
    )


def cohort(model: Model, people: pl.DataFrame, most: int) -> pl.DataFrame:
    """The people with the highest chance, with what may go with their number: `token`, `risk_percent`, `deficits`, `frailty`."""
    ranked = people.with_columns(said=model.chance(people)).sort("said", "token", descending=[True, False]).head(most)
    return ranked.select(
        "token",
        (pl.col("said") * 100).round().cast(pl.Int64).alias("risk_percent"),
        pl.col("deficits").cast(pl.Int64),
        pl.col("deficits").map_elements(band, return_dtype=pl.String).alias("frailty"),
    )
