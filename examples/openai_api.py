"""Confidence of a model behind an API: the official client, and what answers tell of options.

python examples/openai_api.py [--server http://localhost:8000/v1 --model NAME] [--checkpoint FOLDER]

Any server that speaks OpenAI's chat completions will do; the key is read from OPENAI_API_KEY.
Without one, an answer of SmolLM2 is read that a llama.cpp server gave when this was written.
"""

import argparse
import json
import os
from pathlib import Path

import thermometer as th
from thermometer.adapters.api_logprobs import calibrate_responses, option_probabilities

RECORDED = Path(__file__).parents[1] / "tests" / "data" / "logprobs" / "chat.json"


def ask(prompt, server, model):
    """One token, and the 20 likeliest in its place."""
    from openai import OpenAI

    client = OpenAI(base_url=server, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        max_tokens=1,
        logprobs=True,
        top_logprobs=20,
    )


def main(server=None, model="", checkpoint=None):
    """Ask, read, calibrate."""
    exchange = json.loads(RECORDED.read_text(encoding="utf-8"))["exchanges"][0]
    prompt = exchange["request"]["messages"][0]["content"]
    print(prompt, "", "asked:" if server else "recorded answer of SmolLM2:", sep="\n")
    responses = [ask(prompt, server, model) if server else exchange["response"]]

    options = ["A", "B", "C"]
    found = option_probabilities(responses, options)
    for k, option in enumerate(options):
        low, high = found.low[0, k], found.high[0, k]
        print(f"{option}: {found.probs[0, k]:.3f}, surely from {low:.3f} to {high:.3f}")
    print(f"not listed by the server, or open: {found.residual[0]:.3f}")
    for warning in found.warnings:
        print("careful:", warning)
    if checkpoint:  # of a thermometer that reads scores, trained on answers of the same model
        result = calibrate_responses(th.Calibrator.from_pretrained(checkpoint), responses, options)
        print(f"calibrated: {result.confidence[0]:.3f} for {options[result.prediction[0]]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server")
    parser.add_argument("--model", default="")
    parser.add_argument("--checkpoint")
    main(**vars(parser.parse_args()))
