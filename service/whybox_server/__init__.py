"""The explanation server. `app` is its composition root; `core` its vocabulary."""

import os

# onnxruntime reports to its maker unless it is told not to before it is imported; what is explained here
# is nobody else's business. Whoever wants the reports sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
