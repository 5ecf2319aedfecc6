"""A chat endpoint proposes and another judges: what lm_eval's own client sends to a server and gets back."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lmx_files.errors import UserError
from lmx_models.harness.asking import arguments_of, load_ask, name_of


@pytest.fixture
def chat():
    """A server of chats that answers with the last message, turned round."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            text = body["messages"][-1]["content"][::-1]
            reply = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/chat/completions", asked
    server.shutdown()


def test_a_chat_endpoint_answers_in_order(chat):
    url, asked = chat
    ask = load_ask("local-chat-completions", arguments_of(f"model=some-model,base_url={url}"), 32, batch_size=1)
    assert ask(["abc", "def"]) == ["cba", "fed"]
    assert ask(["ghi"]) == ["ihg"]
    assert all(body["messages"][-1]["role"] == "user" and body["model"] == "some-model" for body in asked)
    assert all(body["temperature"] == 0 and body["max_tokens"] == 32 for body in asked)


def test_the_tiny_model_answers_through_its_template():
    ask = load_ask("ar", {"pretrained": "tiny-oracle"}, 8, device="cpu")
    answers = ask(["How many of these words are fruits?\nWords: apple, hammer, pear\n"])
    assert answers[0].strip() == "2"


def test_names_and_arguments():
    assert name_of("hf", {"pretrained": "a/b", "revision": "main"}) == "a/b@main"
    assert name_of("local-chat-completions", {"model": "x", "base_url": "http://y"}) == "x"
    assert name_of("scripted", {}) == "scripted"
    assert arguments_of("a=b, c=d=e,f=False,n=3") == {"a": "b", "c": "d=e", "f": False, "n": 3}
    with pytest.raises(UserError, match="write NAME=VALUE"):
        arguments_of("a")


def test_a_model_that_cannot_be_loaded_is_one_line():
    with pytest.raises(UserError, match="cannot be loaded") as error:
        load_ask("local-chat-completions", {"model": "x", "num_concurrent": "many"}, 8)
    assert "\n" not in str(error.value)
