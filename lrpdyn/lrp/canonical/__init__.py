"""Canonisation: a network rewritten by torch.fx into layers that have rules."""
