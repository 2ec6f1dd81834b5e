#
#

# Copyright (C) 2026 the Ganeti project
# All rights reserved.
#
# Redistribution and use in source and binary forms, with or without
# modification, are permitted provided that the following conditions are
# met:
#
# 1. Redistributions of source code must retain the above copyright notice,
# this list of conditions and the following disclaimer.
#
# 2. Redistributions in binary form must reproduce the above copyright
# notice, this list of conditions and the following disclaimer in the
# documentation and/or other materials provided with the distribution.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS
# IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED
# TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR
# PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
# CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL,
# EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
# PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR
# PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF
# LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
# NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""How the manuals are built: HTML of all, and a manual page of each in man/.

python3 -m sphinx -W -b html doc OUT
python3 -m sphinx -W -b man doc OUT

"""

project = "ganeti-lxc"
author = "the Ganeti project"
copyright = "2026, the Ganeti project"  # noqa: A001 - Sphinx's name

extensions: list[str] = []
exclude_patterns = ["man/recorded"]
root_doc = "index"
nitpicky = True
highlight_language = "none"
smartquotes = False

# The page is the same whenever and wherever it is made.
today = "November 2026"
html_theme = "alabaster"
html_theme_options = {"description": "LXC containers as Ganeti instances"}
html_copy_source = False
html_show_sphinx = False

man_show_urls = False
man_pages = [
  (
    "man/ganeti-lxc",
    "ganeti-lxc",
    "LXC containers as Ganeti instances",
    author,
    7,
  ),
  (
    "man/ganeti-lxc-doctor",
    "ganeti-lxc-doctor",
    "what a node lacks, and what keeps an instance from migrating",
    author,
    8,
  ),
  (
    "man/ganeti-lxc-metrics",
    "ganeti-lxc-metrics",
    "figures of LXC instances for Prometheus",
    author,
    8,
  ),
]
