"""Messages to people about a run, from a process of their own that also tells when the supervisor is gone."""
