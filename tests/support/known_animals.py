"""Four real animals with their labels; the model was trained on none of them."""

NAMES = (
    "body_mass_kg",
    "shoulder_height_cm",
    "trunk_length_cm",
    "tail_length_cm",
    "head_length_cm",
    "head_width_cm",
    "ear_length_cm",
    "body_temperature_c",
)
MAINE_COON = (6.8, 31.0, 42.0, 36.0, 11.4, 8.2, 7.6, 38.6)
GREAT_DANE = (61.0, 78.0, 78.0, 47.0, 31.0, 14.5, 15.5, 38.4)
LLAMA = (136.0, 115.0, 114.0, 20.0, 32.0, 15.2, 17.6, 38.2)
BEARDED_DRAGON = (0.38, 4.2, 11.5, 25.0, 5.2, 4.7, 0.0, 34.5)
KNOWN = {"cat": MAINE_COON, "dog": GREAT_DANE, "llama": LLAMA, "lizard": BEARDED_DRAGON}


def named(values: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))
