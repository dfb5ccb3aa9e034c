"""The manual: `make docs` builds it."""

project = "protector"
copyright = "the protector authors, Apache-2.0"
extensions = [
    "cliff.sphinxext",
    "myst_parser",
    "openstackdocstheme",
    "sphinxcontrib.openapi",
]
html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_repo_name = "protector"
openstackdocs_bug_project = ""
openstackdocs_pdf_link = False
html_last_updated_fmt = ""
html_static_path = []
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autoprogram_cliff_application = "openstack"
exclude_patterns = ["_build"]
# Pages link to files of the repository that are no pages of the manual, such as openapi.json.
suppress_warnings = ["myst.xref_missing"]
