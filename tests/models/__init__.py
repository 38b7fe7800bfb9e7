"""Tiny ONNX models whose right explanation is known exactly, built node by node and never trained.

Every builder returns the bytes of a model under 2 KB. The truths stand beside the builders, derived
on paper or by enumeration; nothing here knows the explainer that is tested against them.
"""
