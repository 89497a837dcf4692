import congeal


def test_what_a_bug_report_needs_is_shown(run):
    text = run("info").stdout
    for part in (congeal.__version__, "torch", "CONGEAL_DATA", "cores"):
        assert part in text


def test_the_same_comes_as_json(said):
    facts = said("info")
    assert facts["versions"]["congeal"] == congeal.__version__
    assert set(facts) == {"versions", "devices", "threads", "paths"}
