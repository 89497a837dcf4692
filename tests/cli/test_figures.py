import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [[], ["list"]])
def test_figures_are_listed(run, words):
    result = run("figures", *words)
    assert result.exit_code == 0
    for name in ("loss", "margins", "convergence", "digits", "gradient", "similarities"):
        assert name in result.stdout
    assert "congeal figures NAME" in result.stdout


def test_the_list_is_json_too(said):
    found = {row["name"]: row["what"] for row in said("figures", "list")}
    assert "trajectories" in found
    assert all(found.values())


def test_a_figure_leaves_a_picture_and_its_numbers(run, desk):
    result = run("figures", "loss", "--quick", "-o", "out")
    assert result.exit_code == 0, result.output
    assert (desk / "out" / "loss.png").is_file()
    assert (desk / "out" / "loss.csv").read_text().startswith("similarity,positive")
    assert "out/loss.png" in result.stdout
    assert "gap_to_formula" in result.stdout


def test_json_tells_files_and_numbers(said, desk):
    (made,) = said("figures", "loss", "--quick", "--output", "out", "--seed", 2)
    assert made["name"] == "loss"
    assert made["png"] == "out/loss.png"
    assert made["numbers"]["gap_to_formula"] < 1e-12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["los"], "did you mean 'loss'"),
        (["loss", "--seed", "-1"], "--seed"),
        (["loss", "--quik"], "did you mean --quick"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, desk, words, said):
    assert said in fails("figures", *words)


def test_help_explains_without_loading_anything_heavy(run, environment):
    assert "Usage" in run("figures", "--help").stdout
    code = (
        "import sys\n"
        "sys.argv = ['congeal', 'figures', '--help']\n"
        "from congeal.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"
