from typer.testing import CliRunner

from congeal.cli import app


def test_shipped_models_are_listed_with_their_score(run, shelf):
    text = run("models").stdout
    for part in ("nuclei", "cell nuclei", "0.870", "Apache-2.0"):
        assert part in text


def test_json_lists_them_for_machines(said, shelf):
    (found,) = said("models")
    assert found["metrics"] == {"matching_ap@0.5": 0.87}
    assert found["bytes"] > 0


def test_a_copy_without_models_says_how_to_make_one(run, shelf, monkeypatch, tmp_path):
    from congeal.models import shipped

    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "none")
    result = run("models")
    assert result.exit_code == 0
    assert "congeal train FOLDER" in result.stdout


def test_the_card_of_one_model_is_shown(run, model):
    text = run("models", model).stdout
    assert text.startswith("# Bright\n\nFinds what is bright.\n")
    assert str(model) in text


def test_a_card_is_broken_at_words_to_fit_the_terminal(tmp_path, model):
    (model / "README.md").write_text(
        f"# Bright\n\n{'word ' * 30}\nends.\n\n- list: {'of 9 ' * 30}\n"
    )
    narrow = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    lines = CliRunner(env=narrow).invoke(app, ["models", str(model)]).stdout.splitlines()
    assert max(len(line) for line in lines if str(model) not in line) <= 80
    assert lines[4] == "ends." or lines[3].endswith("ends.")
    point = next(place for place, line in enumerate(lines) if line.startswith("- list: of 9"))
    assert lines[point + 1].startswith("  ")


def test_the_facts_of_one_model_come_as_json(said, model):
    assert said("models", model)["method"] == "bright"


def test_a_model_that_is_not_there_is_told(fails, shelf):
    assert "did you mean 'nuclei'" in fails("models", "nuclie")
