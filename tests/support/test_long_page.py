"""The page of the long tests says what failed, what was measured, and keeps what was not run."""

from pathlib import Path

pytest_plugins = ["pytester"]


def test_the_page_has_outcomes_and_figures_and_keeps_the_lines_of_files_that_did_not_run(pytester):
    root = Path(__file__).parents[2]
    pytester.makeconftest(
        f"import sys; sys.path.insert(0, {str(root)!r}); pytest_plugins = ['tests.support.long_page']"
    )
    pytester.makepyfile(
        test_kills="""
        import pytest
        def test_it_holds(record_property):
            record_property("p99", "4 ms")
        def test_it_breaks():
            assert False
        def test_it_is_left_out():
            pytest.skip("no root")
        """
    )
    page = pytester.path / "long.md"
    page.write_text("# old\n\n## test_other.py\n\nyesterday:\n\n- it stayed: **passed** (9 s)\n")
    pytester.runpytest_subprocess("--long-page", str(page), "-p", "no:cacheprovider")
    text = page.read_text()
    assert "- it holds: **passed** (0 s) · p99 4 ms\n" in text
    assert "- it breaks: **failed** (0 s)\n" in text
    assert "- it is left out: **skipped** (0 s)\n" in text
    assert "## test_other.py\n\nyesterday:\n\n- it stayed: **passed** (9 s)\n" in text
    assert text.count("# Long tests") == 1
