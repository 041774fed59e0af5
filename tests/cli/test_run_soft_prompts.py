"""A run with a soft prompt: what it is near to stands in its results, on its page, and in what compare makes of it."""

from __future__ import annotations

import re

from command_line import exit_code

from evalharness import results


def test_a_run_says_what_its_soft_prompt_is_near_to(make_run, tmp_path):
    folder = make_run("run", {"lora": 0, "soft": 0})
    by_name = {model.name: model.soft_prompt for model in results.read_results(folder).models}
    assert by_name["base"] == by_name["lora"] == {} and len(by_name["soft"]["nearest"]) == 5
    assert exit_code("report", folder) == 0
    page = (folder / "report.html").read_text("utf-8")
    assert len(re.findall(r'<td class="number">[0-4]</td><td><span class="name">', page)) == 5
    assert exit_code("compare", folder, "--out", tmp_path / "again") == 0
    assert (tmp_path / "again" / "results.json").read_bytes() == (folder / "results.json").read_bytes()
