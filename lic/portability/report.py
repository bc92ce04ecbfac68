"""The report of a run as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MOST_RATE = 0.001    # portable may cost so much more than float32


def markdown(report: dict) -> str:
    """All tables of a run."""
    machine = report["machine"]
    lines = [f"{len(report['pictures'])} pictures, {len(report['configurations'])} configurations; "
             + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
             + f"; {machine['model']}, {machine['cores']} cores, " + (", ".join(machine["flags"]) or "no AVX2")]
    for section, table in (("pairs", _pairs), ("configurations", _configurations), ("deviation", _deviation),
                           ("rate", _rate)):
        if report.get(section):
            lines += ["", *table(report[section])]
    lines += [f"FAILED: {line}" for line in report["failures"]]
    return "\n".join(lines)


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    heads = list(heads)
    for row in (heads, ["---"] * len(heads), *rows):
        yield "| " + " | ".join(map(str, row)) + " |"


def _cells(section: dict) -> Iterator[tuple[str, str, dict]]:
    for model, by_arithmetic in section.items():
        for arithmetic, figures in by_arithmetic.items():
            yield model, arithmetic, figures


def _pairs(section: dict) -> Iterator[str]:
    heads = ("model", "arithmetic", "files (distinct)", "pairs", "refused", "symbol mismatches", "pictures that differ",
             "largest difference", "samples that differ")
    yield from _table(heads, (
        (model, arithmetic, f"{c['files']:,} ({c['distinct']:,})", f"{c['pairs']:,}",
         f"{c['refused'] + c['refused_by_maker']:,}", f"{c['mismatches']:,}", f"{c['pictures_differ']:,}",
         c["largest"], f"{c['share_of_samples_that_differ']:.2e}") for model, arithmetic, c in _cells(section)))
    yield ""
    yield ("A pair is a picture, the configuration that made its file and another that decoded it. Files with the same "
           "bytes were decoded once by each configuration and count for every pair.")
    for model, arithmetic, c in _cells(section):
        if c["why"]:
            yield f"First refusal of {model} with {arithmetic}: {c['why']}"


def _configurations(section: list[dict]) -> Iterator[str]:
    def settings(c: dict) -> str:
        said = [f"{k}={v}" for k, v in c["environment"].items()] + [f"{k} {v}" for k, v in c["switches"].items()]
        return ", ".join(said) or "-"

    yield from _table(("configuration", "settings", "kind", "computed the same as"), (
        (c["name"], settings(c), c["kind"], c["same_as"] or "-") for c in section))


def _deviation(section: dict) -> Iterator[str]:
    heads = ("model", "arithmetic", "of", "values a picture", "largest d", "largest d / step", "mean d / step",
             "nearest to a tie", "flips a picture: seen", "expected", "expected, worst pair", "bound")
    yield from _table(heads, (
        (model, arithmetic, kind, f"{d['values']:,.0f}", f"{d['largest_absolute']:.2e}", f"{d['largest']:.2e}",
         f"{d['mean']:.2e}", f"{d['nearest_tie']:.2e}", f"{d['flips']:.2e}", f"{d['expected']:.2e}",
         f"{d['expected_worst']:.2e}", f"{d['bound']:.2e}")
        for model, arithmetic, by_kind in _cells(section) for kind, d in by_kind.items()))
    yield ""
    yield "d is the absolute difference of two configurations' predictions for the same symbols."
    guarded = [d for _, _, by_kind in _cells(section) for d in by_kind.values() if d["margin"]]
    closest = min((d for d in guarded if d["largest"]), key=lambda d: d["margin"] / d["largest"], default=None)
    if closest:
        margins = ", ".join(f"{margin:.2e}" for margin in sorted({d["margin"] for d in guarded}))
        yield (f"With portable, the encoder takes another grid where a value lies within {margins} steps of a tie "
               "(products; locations and indices): at least "
               f"{closest['margin'] / closest['largest']:,.0f} times the largest d / step.")


def _rate(section: dict) -> Iterator[str]:
    rows = [(model, way, f"{size:,.0f}", f"{100 * (size / sizes['float32'] - 1):+.3f} %")
            for model, sizes in section.items() for way, size in sizes.items()]
    yield from _table(("model", "way", "bytes", "against float32"), rows)
    yield ""
    for model, sizes in section.items():
        kept = sizes["portable"] <= (1 + MOST_RATE) * sizes["float32"]
        yield f"{model}: portable costs {'at most' if kept else 'MORE THAN'} {100 * MOST_RATE:g} % more than float32."
