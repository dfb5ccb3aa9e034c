# SPDX-License-Identifier: Apache-2.0
"""What is made from the commands' parsers: the manual page and names for the shell."""
