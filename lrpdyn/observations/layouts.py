"""The orders of axes that ``--layout`` takes, known without NumPy."""

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NF", "F", "NKHWC", "NKCHW", "NLC",
           "NCL", "NTF", "TF", "NTCHW", "NTHWC", "NTHW")  # fmt: skip
