"""Names that are markup elsewhere: every door shows them as they are written, no page lets them act."""
import html
import re

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_output

from fashion_mlops.workflow import markup, page as page_frame, picture_text, report, tool_words
from fashion_mlops.service import card as model_card
from fashion_mlops.evaluation import spread

HOSTILE = ["<script>window.__owned=1</script>", "<img src=x onerror=window.__owned=1>", "</style></title><svg onload=window.__owned=1>", "$0 - $24,999", "Ba$$in_club^2", "a|b", "`tick`",
           "../up", "new\nline", "🚀 emoji", "שלום עולם", "long " * 60, "x" * 300, "count", "index", "_", "*star*", "__init__", "<!--", "[x](javascript:window.__owned=1)", "&lt;", "# head", "1. first",
           "> quote", "***", "- item", "~~gone~~", "http://x.y/z", "\"quote'", "{{7*7}}", "${7*7}", "%s", "成交", "back\\slash", "{brace}[1]:,", "\u202eesrever", "\u200b", "nan", "42", "None"]
SENTENCES = ["{}", "**{}** is it", "- {}", "> {}", "of {}; and {}", "| a | b |\n|---|---|\n| {} | 2 |", "x ({}) y"]


def text_of(page: str) -> str:
    "What a reader sees of a page without scripts, in one line, without the marks that set right-to-left words apart."
    page = re.sub(r"<style.*?</style>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)).replace("\u2068", "").replace("\u2069", ""))


def acts(page: str) -> bool:
    "Whether anything in a page could run."
    plain = re.sub(r'"[^"]*"', '""', page) # what stands in quotation marks is text, but for addresses
    return bool(re.search(r"<script|<svg|<iframe|<[^>]*\son\w+\s*=", plain, re.I) or re.search(r"href=\W?javascript", page, re.I))


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_name_as_written(name):
    for sentence in SENTENCES:
        page = report._output(new_output("display_data", data={"text/markdown": sentence.replace("{}", markup.as_markdown(name))}), "")
        assert markup.readable(name) in text_of(page), page
        assert not acts(page)


@pytest.mark.parametrize("name", HOSTILE)
def test_html_and_tables_show_a_name_as_written(name):
    frame = pd.DataFrame({name: [1 / 3]}, index=pd.Index([name], name=name)).rename_axis(columns=name)
    for page in (f'<p title="{markup.as_html(name)}">{markup.as_html(name)}</p>', markup.as_table(frame, "{:.2f}").to_html()):
        assert text_of(page).count(markup.readable(name)) >= 1 and not acts(page)
        assert markup.readable(name) in text_of(markup.harmless(page))


@pytest.mark.parametrize("kind", ["text/html", "text/markdown", "image/svg+xml", "text/plain"])
def test_a_forgotten_name_does_not_act_in_a_report(kind):
    hostile = "seen <script>window.__owned=1</script><img src=x onerror=window.__owned=1><svg onload=a()></svg><iframe srcdoc='<script>1</script>'></iframe><a href='javascript:a()'>b</a>"
    page = report._output(new_output("display_data", data={kind: hostile}), "a picture")
    assert not acts(re.sub(r"&lt;.*?(?=&lt;|<)", "", page)), page
    assert "script-src" in page_frame.html_page("t", page) or "default-src 'none'" in page_frame.html_page("t", page)


def test_a_picture_shows_names_as_written_and_powers_on_logarithmic_axes():
    import matplotlib.pyplot as plt
    names = ["$0 - $24,999", "Ba$$in", r"\frac{1}$", "$x_1$", "long " * 60, "a\x07b"]
    figure, axis = plt.subplots()
    axis.barh(names, np.geomspace(1, 1e9, len(names)), label="$y$")
    axis.set(xscale="log", title="$t^2$")
    axis.legend()
    data, absent = picture_text.png(figure)
    assert data.startswith(b"\x89PNG") and not absent
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown[:4] == names[:4] and len(shown[4]) <= 44 and shown[5] == "ab"
    assert "10³" in [label.get_text() for label in axis.get_xticklabels()]
    assert (axis.get_title(), axis.get_legend().get_texts()[0].get_text()) == ("$t^2$", "$y$")


def test_letters_without_a_font_are_told_of_once():
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots()
    axis.set_title("\U000f0000 private")
    assert picture_text.png(figure)[1] == {"\U000f0000"}
    assert "no font of this machine has" in picture_text.absent_words({"成"})


@pytest.mark.parametrize("values", [[], [np.nan], [7.0] * 5, [2.0**60, 2.0**60 + 256], [123456789012345678, 123456789012345679], [np.inf, -np.inf], [1, np.inf], [1.7976931348623157e308, -1.7e308],
                                    [5e-324, 1e-323], [0.1 + 0.2, 0.3], pd.to_datetime(["2024-01-01"] * 3), pd.to_datetime([None, None])])
def test_any_numbers_have_a_picture_or_a_sentence(values):
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots()
    spread.draw_spread(axis, values)
    picture_text.png(figure)
    assert axis.patches or axis.texts


def test_a_column_that_cannot_be_told_apart_is_drawn():
    from fashion_mlops.samples.columns import Column
    from fashion_mlops.tables.views import _draw_column
    import matplotlib.pyplot as plt
    for values in ([2.0**60] * 40, [2.0**60 + 256 * (n % 2) for n in range(40)], [1.0] * 39 + [1e308]):
        figure, axis = plt.subplots()
        _draw_column(axis, pd.Series(values), Column("$x$", "numeric"))
        picture_text.png(figure)


def test_a_tool_sees_no_name_of_its_own_and_the_page_says_what_was_written():
    given = tool_words.tool_names(HOSTILE)
    assert len(set(given.values())) == len(HOSTILE) and not set(given.values()) & set(HOSTILE)
    for name, seen in given.items():
        assert not set(seen) & set("<>&\"'`{}\\")
        page = tool_words.restored(f"<html><body><p data-x=\"{seen}\">{seen}</p><script>let a = \"{seen}\"</script></body></html>")
        assert markup.readable(name).replace("\u2060", "") in text_of(page.split("<script>")[0])
        assert page.count("<script>") == page.count("</script>") == 1 and page.count("<") == 8


def test_a_table_for_a_tool_keeps_what_its_values_are():
    table = pd.DataFrame({"count": [1.0, 2.0, 1.8e308], "<i>": ["<b>", None, "$y$"], "index": [1, 2, 3], "when": pd.to_datetime(["2024-01-01"] * 3), "flag": [True, False, True]})
    seen = tool_words.table_for_tool(table)
    assert [str(kind) for kind in seen.dtypes] == [str(kind) for kind in table.dtypes] and np.isfinite(seen.iloc[:2, 0]).all() and np.isnan(seen.iloc[2, 0])


def test_a_model_card_shows_names_as_written():
    classes = HOSTILE[:8]
    about = {"kind": "net", "recipe": {"epochs": 3}, "input": {"kind": "table", "columns": [{"name": name} for name in HOSTILE]}, "classes": classes, "target": HOSTILE[0]}
    by_class = [{"class": name, "precision": 1., "recall": 1., "recall_low": .9, "recall_high": 1., "f1": 1., "rows": 9} for name in classes]
    decision = {"dataset": "d", "version": 1, "synthetic": False, "candidate": "net", "outcome": "refused", "reasons": [HOSTILE[1]], "dataset_digest": "0" * 12, "metrics": {"test_calibration_error": .1},
                "intervals": {}, "baselines": {}, "by_class": by_class, "confused": [[HOSTILE[2], HOSTILE[3], 2]], "test_reads": 1, "test_readers": 1, "test_readings": []}
    page = report._output(new_output("display_data", data={"text/markdown": model_card.model_card(decision, about, "CC0", {"left_out": {HOSTILE[5]: HOSTILE[6]}})}), "")
    assert not acts(page)
    for name in HOSTILE: assert markup.readable(name) in text_of(page), name


def test_limits_hold_the_values_that_they_were_learnt_from():
    from fashion_mlops.samples.columns import Column
    from fashion_mlops.tables.checks import expected_of
    for values in ([1700006000, 1700008990], [1e-9, 2e-9], [12345678.9] * 3, [-1.7e308, 1.7e308], [0.1 + 0.2], [2.0**60, 2.0**60 + 512], [-1e-300, 1e-300], [9007199254740993, 9007199254740995]):
        line = expected_of(pd.Series(values, dtype=float), Column("x", "numeric"))
        assert line["low"] <= min(values) and line["high"] >= max(values), (values, line)
