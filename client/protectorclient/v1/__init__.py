# SPDX-License-Identifier: Apache-2.0
"""The REST API, version 1."""
