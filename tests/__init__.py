"""The tests of FlowGuardian."""
