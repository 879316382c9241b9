"""Videos in: annotations, clicks, features, sampling, bundled streams, simulated features."""
