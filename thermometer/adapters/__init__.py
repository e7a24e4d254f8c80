"""Tables, logs and responses of other programs: lm-eval, APIs, Ray Data and vLLM."""
