"""What an operator sees: metrics, logs, probes, the state of each destination. Decides nothing."""
