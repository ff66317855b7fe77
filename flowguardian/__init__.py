"""FlowGuardian: a crypto-futures trading engine that proves it holds."""

__version__ = "0.1.0"
