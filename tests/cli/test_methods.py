from congeal.methods.rpe import RPEConfig
from congeal.training import TrainConfig


def test_methods_are_listed_with_paper_and_tasks(run, said):
    (rpe,) = [one for one in said("methods") if one["name"] == "rpe"]
    assert rpe["reference"] == "Kong & Fowlkes, CVPR 2018"
    assert "instances" in rpe["tasks"]
    assert "congeal methods NAME" in run("methods").stdout


def test_the_settings_of_a_method_are_all_listed(run, said):
    told = said("methods", "rpe")
    names = {one["name"] for one in told["settings"]}
    training = {f"training.{path}" for path in TrainConfig.leaves()}
    assert names == {*RPEConfig.leaves(), *training}
    shown = run("methods", "rpe").stdout
    assert "loss.margin" in shown
    assert "--preset paper: network.encoder=resnet101" in shown


def test_an_unknown_method_gets_the_nearest(fails):
    assert "did you mean 'rpe'" in fails("methods", "rep")
