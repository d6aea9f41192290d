"""What is published names one version and one licence."""

import tomllib

import yaml
from pages import ROOT

import ascjax


def test_one_version_and_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {project["version"], citation["version"], ascjax.__version__} == {"0.1.0"}
    assert project["license"] == citation["license"]
    assert f"## {ascjax.__version__}" in (ROOT / "CHANGELOG.md").read_text()
