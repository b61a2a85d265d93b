"""Aiming: how well clips match a capability, what is missing, which footage to collect and which clips to label.

- `scoring`: similarity, calibration, and what a draft of a spec would match.
- `gaps`: supply against target, in each slice, with intervals; coverage of what is measured on.
- `collection`: campaigns that search footage for what is missing.
- `choosing`: the clips most worth a label, and orders of them.
"""
