# SPDX-License-Identifier: Apache-2.0
"""Client of protector, disaster recovery for OpenStack run by tenants."""
